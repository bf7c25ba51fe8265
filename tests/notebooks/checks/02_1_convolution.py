"""Check what notebook 02_1 says about the first layer of EfficientNet-Lite0."""


def check(notebook):
    torch, weight = notebook.torch, notebook.stem.weight.detach()
    torch.testing.assert_close(sum(notebook.parts), notebook.whole, atol=1e-4, rtol=1e-4)
    _red, green, blue = weight[18]
    assert torch.nn.functional.cosine_similarity(green.flatten(), blue.flatten(), dim=0) < -0.9
    assert weight[18, 0].abs().max() < 0.2 < 0.8 < weight[18, 1].max()
    zero = [k for k in range(32) if weight[k].abs().max() < 1e-6]
    assert zero == [11, 16, 28, 31]

    assert (notebook.learned.detach()[0, 0] - notebook.sobel.flip(0, 1)).abs().max() < 0.01
    assert notebook.colours_seen.exception is None
