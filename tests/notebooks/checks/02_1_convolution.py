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
    assert notebook.sums[15] > 0.9
    assert notebook.seen.any(dim=1).sum() == notebook.field.size
    assert notebook.seconds[11] > 2 * notebook.seconds[3]
    assert notebook.colours_seen.exception is None
