"""The bands behind the prose of notebook 04_1."""


def check(notebook):
    import torch

    hit, whole = notebook.hit, notebook.look(notebook.whole)
    assert sum(hit.values()) > 0.45 * 222_570 and min(hit.values()) > 0
    found = notebook.accuracy
    assert whole > 0.9 and found["half of all numbers"] < 0.2
    assert max(found["half of the weights"], found["half of scales and biases"]) < 0.35
    assert found["the smaller half of the weights"] > whole - 0.06

    smallest, chance = (curve[1] for curve in list(notebook.mask_curves.values()))
    assert smallest[2] > whole - 0.02 and smallest[5] < 0.7 and max(chance[2:]) < 0.5
    ninety = notebook.ninety
    assert notebook.sparsity(ninety) > 0.89
    assert notebook.before < 0.3 and 0.02 < whole - notebook.look(ninety) < 0.25

    untrained = [half for _, half in notebook.quarter_and_half.values()]
    assert max(untrained) < 0.5
    tuned = notebook.look(notebook.tuned)
    assert tuned > whole - 0.06 and tuned > max(untrained) + 0.3
    half = sum(weights.numel() for weights in notebook.half.parameters())
    assert half == 56_250

    halves = {layer: notebook.found.of(layer)[1].accuracy for layer in notebook.found.layers}
    assert min(halves, key=halves.get) == "stem"
    assert max(halves, key=halves.get) == "stage3.0.conv2"
    three, everywhere = (notebook.look(model) for model in notebook.two.values())
    assert everywhere > three + 0.05
    with torch.no_grad():
        assert notebook.narrow(notebook.pictures[:2]).shape == (2, 10)
    check_quantization(notebook)


def check_quantization(notebook):
    from course_utils.experiments import quantization_accuracies, quantization_speedups

    live = notebook.accuracies
    assert max(live.values()) - min(live.values()) < 0.025
    assert 0.24 < notebook.codes.stat().st_size / notebook.floats.stat().st_size < 0.3
    assert notebook.after_training < 0.85
    assert notebook.look(notebook.coarse) > notebook.after_training + 0.05

    def mean(comparison, method, setting):
        frame = quantization_accuracies(comparison).groupby(["method", "setting"])
        return frame.accuracy.mean()[method, setting]

    whole = mean("int8", "PyTorch", 32)
    for method, bits in (
        ("ONNX Runtime", 7),
        ("ONNX Runtime", 8),
        ("PT2E", 8),
        ("without VNNI", 8),
    ):
        assert abs(mean("int8", method, bits) - whole) < 0.005
    own, shared = (
        [mean("bits", how, n) for n in (4, 3, 2)] for how in ("per channel", "per tensor")
    )
    assert 0.02 < own[0] - shared[0] < 0.03 and 0.09 < own[1] - shared[1] < 0.1 and own[2] < 0.12
    assert 0.65 < mean("training", "after training", 3) < 0.7
    assert 0.87 < mean("training", "in training", 3) < 0.9
    calibrated = quantization_accuracies("calibration").accuracy
    assert calibrated.max() - calibrated.min() < 0.004
    lost = whole - mean("pruned", "ONNX Runtime", 7)
    assert 0.005 < lost < 0.007

    one, many = quantization_speedups(1), quantization_speedups(64)
    int8 = "ONNX Runtime int8, 7 bits"
    assert one["ONNX Runtime"] > one[int8] / one["ONNX Runtime"]
    assert many["ONNX Runtime"] < many[int8] / many["ONNX Runtime"]
    assert 0.3 < one["PT2E"] < 0.37 and 0.6 < many["PT2E"] < 0.7
    sizes = {name: cost for name, (cost, _) in notebook.charts["file, kB"].items()}
    assert 11.5 < sizes["PyTorch"] / sizes["pruned, ONNX Runtime int8, 7 bits"] < 12.5
