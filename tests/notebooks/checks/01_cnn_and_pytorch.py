"""Check what notebook 01 says about its results."""


def check(notebook):
    # A convolution as a dense layer.
    assert notebook.difference < 1e-5 and len(notebook.used) == 6724
    assert len(notebook.used.unique()) == 9

    # No shift of the dense layer's output is that of the moved image.
    left = {}
    for name, (output, other) in notebook.pairs.items():
        shifts = [(output.roll(s, -1) - other).norm() for s in range(28)]
        left[name] = min(shifts) / shifts[0]
    assert left["image"] < 1e-6 and left["convolution"] < 0.35 and left["dense layer"] > 0.75

    moved, another = zip(*notebook.changes.values(), strict=True)
    assert list(moved) == sorted(moved, reverse=True) and min(moved) > 0.05
    factors = [two / one for one, two in notebook.changes.values()]
    assert factors == sorted(factors) and min(another) > min(moved)
    assert 1 < factors[0] < 2 and 3.5 < factors[-1] < 4.5

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

    # Few and many images: the mean over five seeds of the CNN's lead, seed by seed.
    table = notebook.sizes.pivot(index="seed", columns=["network", "images"], values="accuracy")
    lead = (100 * (table["CNN"] - table["MLP"])).mean()
    assert 1 < lead[300] < 1.6 and 2.2 < lead[9000] < 2.8 and lead[3000] > lead[1000]
    assert (table["CNN"][3000] >= table["MLP"][9000]).all()

    # Moves in a wide frame: nothing changes by whole pooling blocks.
    whole = {s for s, share in zip(notebook.moves, notebook.shares, strict=True) if share < 1e-4}
    assert whole == {0, 4, 8, 12}
    assert min(share for share in notebook.shares if share > 1e-4) > 0.02

    curves = {name: dict(zip(*points, strict=True)) for name, points in notebook.curves.items()}
    mlp, cnn, averaging = curves.values()
    assert max(cnn[-4], cnn[4]) < 0.40 and max(mlp[-4], mlp[4]) < 0.30
    assert min(averaging[-4], averaging[4]) > 0.75
