"""Read what `compare_quantization` and `compare_distilled` stored: accuracies, speed-ups, costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from course_utils.experiments.results import load_results
from course_utils.metrics import wilson_interval

if TYPE_CHECKING:
    import pandas

_PYTORCH = "PyTorch's instructions"
_BITS = {32: "", 8: " int8, 8 bits", 7: " int8, 7 bits"}

Point = tuple[float, tuple[float, float, float]]


def quantization_accuracies(comparison: str, network: str = "small_resnet") -> pandas.DataFrame:
    """Return the records of one comparison, with a column `accuracy`.

    Args:
        comparison: "int8", "bits", "calibration", "training" or "pruned".
        network: "small_resnet" or "first_cnn".
    """
    frame = load_results("quantization").frame()
    frame["accuracy"] = frame.correct / frame.total
    chosen = (frame.comparison == comparison) & (frame.network == network)
    return frame[chosen].reset_index(drop=True)


def quantization_speedups(
    batch: int, instructions: str = "all", network: str = "small_resnet"
) -> dict[str, float]:
    """Return how many times as fast as the network in PyTorch each other one was, by its name.

    Args:
        batch: Pictures in a batch: 1 or 64.
        instructions: Those that PyTorch might use, "all" or "AVX2"; ONNX Runtime uses all.
    """
    frame = load_results("quantization_speed").frame()
    chosen = (frame.batch == batch) & (frame[_PYTORCH] == instructions)
    medians = frame[chosen & (frame.network == network)].groupby("method")["times as fast"].median()
    return {str(name): float(value) for name, value in medians.sort_values().items()}


def quantization_tradeoffs(
    network: str = "small_resnet",
) -> tuple[dict[str, dict[str, Point]], dict[str, str]]:
    """Return what `plots.tradeoffs` draws: accuracy against time and file size, and kinds of names.

    With "small_resnet" the students of `compare_distilled` are there, too, in int8.

    An accuracy is the mean over the seeds, with Wilson's interval for the test pictures.
    """
    speedups = quantization_speedups(64, network=network)
    time, size = "time of 64 pictures / PyTorch's", "file, kB"
    charts: dict[str, dict[str, Point]] = {time: {}, size: {}}
    kinds = {}
    for comparison in ("int8", "pruned"):
        frame = quantization_accuracies(comparison, network).dropna(subset="bytes")
        for (method, bits), part in frame.groupby(["method", "setting"]):
            name = method if method == "PT2E" else method + _BITS[bits]
            name = f"pruned, {name}" if comparison == "pruned" else name
            total = int(part.total.iloc[0])
            interval = wilson_interval(round(part.correct.mean()), total)
            accuracy = float(part.accuracy.mean()), interval.low, interval.high
            charts[time][name] = 1 / speedups[name], accuracy
            charts[size][name] = float(part.bytes.median()) / 1000, accuracy
            kinds[name] = comparison
    if network == "small_resnet":
        frame = load_results("distilled").frame()
        for (name, bits), part in frame[frame.setting < 32].groupby(["network", "setting"]):
            name = f"{name}, ONNX Runtime{_BITS[bits]}"
            total = int(part.total.iloc[0])
            interval = wilson_interval(round(part.correct.mean()), total)
            accuracy = float(part.correct.mean()) / total, interval.low, interval.high
            charts[time][name] = 1 / float(part.speedup_64.median()), accuracy
            charts[size][name] = float(part.bytes.median()) / 1000, accuracy
            kinds[name] = "distilled"
    return charts, kinds
