"""Check what notebook 02_1 says about its results."""


def check(notebook):
    torch, weight = notebook.torch, notebook.stem.weight.detach()
    torch.testing.assert_close(sum(notebook.parts), notebook.whole, atol=1e-4, rtol=1e-4)
    _red, green, blue = weight[18]
    assert torch.nn.functional.cosine_similarity(green.flatten(), blue.flatten(), dim=0) < -0.9
    assert weight[18, 0].abs().max() < 0.2 < 0.8 < weight[18, 1].max()
    zero = [k for k in range(32) if weight[k].abs().max() < 1e-6]
    assert zero == [11, 16, 28, 31]

    want = torch.tensor([[2.0, 1, 0], [1, 1, -1], [0, -1, -2]])
    assert (notebook.learned.detach()[0, 0] - want).abs().max() < 0.2
    assert notebook.agree == notebook.settings > 400
    assert notebook.reached.any(dim=1).sum() == notebook.field.size
    assert notebook.seconds[11] > 2 * notebook.seconds[3]
    assert notebook.colours_seen.exception is None

    trained = notebook.trained
    sums = trained.sum((1, 2))
    assert (
        int((sums.abs() < 0.1).sum()) == 6 and sums.argmax() == 15 and (trained[15] > 0).sum() == 7
    )
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")
    upper_left, lower_right = rows + columns < 2, rows + columns > 2
    assert trained[8][upper_left].min() > 0 > trained[8][lower_right].max()
    assert trained[1][2].min() > 0 > trained[1][:2].max()

    # The answers are clear, so no other processor rounds them away.
    probabilities = {}
    for name, version in notebook.versions.items():
        ready = notebook.card.preprocess(version, 128)[None]
        for model in ("lite0", "without_18"):
            with torch.no_grad():
                scores = getattr(notebook, model)(ready)[0].softmax(0)
            probabilities[name, model] = scores
            best = scores.topk(2).values
            assert best[0] - best[1] > 0.2, (name, model)
    names = {key: notebook.card.classes[int(one.argmax())] for key, one in probabilities.items()}
    assert names["in colour", "lite0"] == "Egyptian cat" == names["grey", "lite0"]
    assert names["grey", "without_18"] == "Egyptian cat"
    assert {names["in colour", "without_18"], names["blue = green", "lite0"]} == {"lynx"}
    assert names["blue = green", "without_18"] == "lynx"

    sides = [field.window[2] for field in notebook.fields]
    halves = [field.side_holding(0.5) for field in notebook.fields]
    shares = [half / side for half, side in zip(halves, sides, strict=True)]
    assert sides == [19, 67, 211]
    assert [round(share, 1) for share in shares] == [0.5, 0.3, 0.2]
    for field, half in zip(notebook.fields, halves, strict=True):  # far from the next size
        assert field.side_holding(0.499) == field.side_holding(0.501) == half
