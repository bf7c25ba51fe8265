"""The ladder of notebook 05_1 and the table of chapter 4 in one picture: accuracy and cost."""

from __future__ import annotations

from course_utils.experiments.ladder.ladder_file import Ladder
from course_utils.experiments.quantization_summary import Point, quantization_tradeoffs
from course_utils.experiments.results import load_results

# Of chapter 4: name in the picture -> method of the pruning, and of the quantization.
_TECHNIQUES = {
    "small_resnet": ("whole", "PyTorch"),
    "small_resnet, int8": ("whole", "ONNX Runtime int8, 7 bits"),
    "half its channels": ("l1", "pruned, PyTorch"),
    "half its channels, int8": ("l1", "pruned, ONNX Runtime int8, 7 bits"),
    "half its channels, distilled, int8": ("l1", "pruned, distilled, ONNX Runtime int8, 7 bits"),
}
_BYTES = 4  # of a weight in floats


def course_tradeoffs(ladder: Ladder) -> tuple[dict[str, dict[str, Point]], dict[str, str]]:
    """Return what `plots.tradeoffs` draws: accuracy against work and size, and kinds of names.

    Rungs that differ in the training alone need the same work when they are used, so of those only
    the most accurate one is shown. The intervals are those of `Ladder.accuracy`, and for chapter 4
    Wilson's for the test images.
    """
    work, size = "multiply-adds, millions", "weights, kB"
    charts: dict[str, dict[str, Point]] = {work: {}, size: {}}
    by_accuracy = ladder.frame().sort_values("accuracy", kind="stable")
    best = by_accuracy.drop_duplicates("multiply_adds", keep="last").sort_index()
    for row in best.itertuples():
        mean = ladder.accuracy(row.rung)
        accuracy = mean.middle, mean.low, mean.high
        charts[work][row.rung] = row.multiply_adds / 1e6, accuracy
        charts[size][row.rung] = row.parameters * _BYTES / 1000, accuracy
    adds = load_results("pruning").frame().groupby("method").multiply_adds.first()
    stored = quantization_tradeoffs()[0]["file, kB"]
    for name, (method, form) in _TECHNIQUES.items():
        kilobytes, accuracy = stored[form]
        charts[work][name] = float(adds[method]) / 1e6, accuracy
        charts[size][name] = kilobytes, accuracy
    kinds = {name: "chapter 4" if name in _TECHNIQUES else "ladder" for name in charts[work]}
    return charts, kinds
