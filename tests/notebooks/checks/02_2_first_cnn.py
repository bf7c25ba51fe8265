"""Check what notebook 02_2 says about the first layer of EfficientNet-Lite0."""


def check(notebook):
    result = notebook.photograph_lab.result
    assert notebook.photograph_lab.error == "" and result.trained_kernels_kept == 32
    assert sum(kernel.abs().max() < 1e-6 for kernel in result.weight) == 4
