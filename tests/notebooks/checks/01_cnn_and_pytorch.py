"""Check what notebook 01 says about its results."""


def check(notebook):
    moved, another = zip(*notebook.changes.values(), strict=True)
    assert list(moved) == sorted(moved, reverse=True) and min(moved) > 0.05
    factors = [two / one for one, two in notebook.changes.values()]
    assert factors == sorted(factors) and min(another) > min(moved)

    # One training of each, with one seed.
    few, cnn = (notebook.results[name] for name in ("MLP, parameters of the CNN", "CNN"))
    assert 0.015 < cnn.accuracy - few.accuracy < 0.07
    assert notebook.outcome.accuracy >= 0.88

    middle = {name: 100 * estimate.middle for name, estimate in notebook.estimates.items()}
    assert 3 < middle["CNN"] - middle["MLP, parameters of the CNN"] < 4
    assert 1.5 < middle["CNN"] - middle["MLP, multiply-adds of the CNN"] < 2.5
    assert not notebook.estimates["CNN"].overlaps(
        notebook.estimates["MLP, multiply-adds of the CNN"]
    )
    assert middle["averaging CNN"] < 80
    assert abs(middle["averaging CNN, 24 epochs"] - middle["CNN"]) < 0.6
    assert 1 < middle["CNN, 24 epochs"] - middle["averaging CNN, 24 epochs"] < 2

    curves = {name: dict(zip(*points, strict=True)) for name, points in notebook.curves.items()}
    mlp, cnn, averaging = curves.values()
    assert max(cnn[-4], cnn[4]) < 0.40 and max(mlp[-4], mlp[4]) < 0.30
    assert min(averaging[-4], averaging[4]) > 0.75
