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
