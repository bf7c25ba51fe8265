"""The bands behind the prose of notebook 04_1."""


def check(notebook):
    import torch

    hit, whole = notebook.hit, notebook.look(notebook.whole)
    assert sum(hit.values()) > 0.45 * 222_570 and min(hit.values()) > 0
    found = notebook.accuracies_of
    assert max(found["half of all numbers"]) < 0.2 and len(found["half of all numbers"]) == 5
    assert max(found["half of the weights"]) < 0.25
    assert max(found["half of scales and biases"]) < 0.5
    assert found["the smaller half of the weights"][0] > whole - 0.06 > 0.84
    for name, dead in notebook.dead.items():
        assert 0.75 < dead / int((notebook.norms[name].weight == 0).sum()) <= 1
    assert 0.4 < sum(notebook.dead.values()) / 224 < 0.6

    curves = {name: curve[1] for name, curve in notebook.mask_curves.items()}
    smallest, chance = curves["smallest first"], curves["at random"]
    assert smallest[2] > whole - 0.02 and smallest[4] > 0.8 and smallest[6] < 0.3
    assert max(chance[2:]) < 0.2
    assert min(curves["smallest first, recalibrated"][:7]) > whole - 0.05
    repaired = curves["at random, recalibrated"]
    assert all(
        0.2 < much - little < 0.65 for much, little in zip(repaired, chance[1:], strict=True)
    )
    assert repaired[1] < whole - 0.15 and repaired[2] < whole - 0.3
    ninety = notebook.ninety
    assert notebook.sparsity(ninety) > 0.89
    trained = notebook.look(ninety)
    assert notebook.before < 0.3 and 0.1 < whole - trained < 0.16
    assert trained > notebook.after_recalibration(notebook.smallest[-1]) + 0.1

    untrained = [half for _, half in notebook.quarter_and_half.values()]
    assert max(untrained) < 0.5
    for (name, share), cut in notebook.as_cut.items():
        repaired = (notebook.recalibrated[name, share] - cut) / (whole - cut)
        assert (repaired > 0.6) if share == 0.25 else (0.3 < repaired < 0.65)
    tuned = notebook.look(notebook.tuned)
    assert tuned > whole - 0.06 and tuned > max(untrained) + 0.3
    half = sum(weights.numel() for weights in notebook.half.parameters())
    assert half == 56_250

    halves = {layer: notebook.found.of(layer)[1].accuracy for layer in notebook.found.layers}
    assert min(halves, key=halves.get) == "stem"
    assert max(halves, key=halves.get) == "stage3.0.conv2"
    quarters = {layer: notebook.found.of(layer)[0].accuracy for layer in notebook.found.layers}
    assert min(quarters, key=quarters.get) == "stage2.0.conv2"
    again = {layer: notebook.again.of(layer) for layer in notebook.again.layers}
    assert min(cuts[1].accuracy for cuts in again.values()) > whole - 0.05
    order = sorted(again, key=lambda layer: again[layer][2].accuracy)
    assert order.index("stage3.0.conv2") < 2
    three, everywhere = (notebook.pairs[name] for name in notebook.two)
    assert everywhere[0] > three[0] + 0.05 and everywhere[1] > three[1] + 0.01
    check_experiment(notebook.frame)
    check_panel(notebook.by_slider)
    with torch.no_grad():
        assert notebook.narrow(notebook.pictures[:2]).shape == (2, 10)
    check_quantization(notebook)


def check_experiment(frame):
    one = frame.groupby("method").accuracy
    lost = 0.915 - one.mean().drop("whole")
    assert lost.min() > 0.001 and lost.max() < 0.012
    assert 0.0075 < lost["random"] < 0.0085 and abs(0.915 - one.min()["random"] - 0.0155) < 1e-6
    assert one.max()["l1 in two rounds"] < one.min()["l1"]

    narrow = frame.drop("whole")
    assert 1.4 < narrow.speedup_1.median() < 1.6 and 2.6 < narrow.speedup_64.median() < 2.8


def check_panel(panel):
    assert panel.wait_for_curves(120)
    saved = {}
    for layer, curve in panel.result.curves.items():
        share = max(share for share, accuracy in curve.items() if accuracy > 0.85)
        panel.cut({layer: share})
        saved[layer] = 1 - panel.result.cost
    assert max(saved, key=saved.get) == "stage1.0.conv1" and 0.25 < max(saved.values()) < 0.35
    panel.cut({})


def check_profile(profile):
    times, parts = profile["times as fast"], profile["parts"]
    for name in ("ONNX Runtime", "ONNX Runtime int8, 7 bits"):
        assert times[f"{name}, repeated"] > times[f"{name}, in turns"]
    assert 3.5 < times["ONNX Runtime int8, 7 bits, in turns"] < 4.5
    assert round(times["ONNX Runtime int8, 7 bits, repeated"], 1) == 6.9
    assert round(times["ONNX Runtime, repeated"], 1) == 3.8
    assert 0.4 < parts["convolutions"] < 0.5 and 0.05 < parts["to codes and back"] < 0.065
    assert 0.28 < parts["between operations"] < 0.4 and 0.75 < profile["call", "bound"] < 0.85


def check_quantization(notebook):
    from course_utils.experiments import quantization_accuracies, quantization_speedups

    check_profile(notebook.profile)
    panel = notebook.by_click
    sizes = {name: one.kilobytes for name, one in panel.result.networks.items()}
    assert panel.error == "" and len(sizes) == 7
    assert sizes["whole"] > 10 * sizes["half, ONNX int8"]

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
    measured = [one[int8], one["ONNX Runtime"], many[int8], many["ONNX Runtime"]]
    assert [round(value, 1) for value in measured] == [4.7, 2.7, 3.4, 1.4]
    assert 1 < one["pruned, PyTorch"] < 1.2 and 2.4 < many["pruned, PyTorch"] < 2.7
    old = [quantization_speedups(batch, "AVX2")[int8] for batch in (1, 64)]
    assert [round(value, 1) for value in old] == [5.3, 3.7]
    assert 0.3 < one["PT2E"] < 0.37 and 0.6 < many["PT2E"] < 0.7
    sizes = {name: cost for name, (cost, _) in notebook.charts["file, kB"].items()}
    assert 11.5 < sizes["PyTorch"] / sizes["pruned, ONNX Runtime int8, 7 bits"] < 12.5
