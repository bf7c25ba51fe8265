from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from course_utils.compress import ExportError, OnnxNetwork, run_onnx, to_onnx
from course_utils.core import CourseError
from course_utils.metrics import evaluate, measure_latency
from tests.toys import same, toy_data, toy_model, weights


class Does(nn.Module):
    """A convolution, and then any function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = toy_model(norm=True, dropout=0.5).train()
    with torch.no_grad():
        model(torch.rand(16, 1, 8, 8))  # statistics of BatchNorm
    before = weights(model)
    path = to_onnx(model, torch.rand(1, 1, 8, 8), tmp_path_factory.mktemp("onnx") / "toy.onnx")
    assert same(before, weights(model)) and all(part.training for part in model.modules())
    return model.eval(), path


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_file_computes_what_the_network_computes_for_any_number_of_pictures(exported, count):
    model, path = exported
    images = torch.randn(count, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(run_onnx(path, images), model(images), rtol=1e-4, atol=1e-5)
    assert run_onnx(path, images.double()).dtype == torch.float32


def test_it_is_one_file_that_knows_nothing_of_this_machine(exported):
    model, path = exported
    content = path.read_bytes()
    numbers = 4 * sum(p.numel() for p in model.parameters())
    assert numbers <= len(content) < numbers + 3000
    assert [one.name for one in path.parent.iterdir()] == ["toy.onnx"]
    assert b".py" not in content


def test_an_onnx_network_is_evaluated_and_timed_like_any_other(exported):
    model, path = exported
    data, network = toy_data(), OnnxNetwork(path)
    options = {"mean": data.mean, "std": data.std}
    results = [evaluate(one, data.test, **options) for one in (model, network)]
    assert torch.equal(results[0].predictions, results[1].predictions)
    times = measure_latency({"torch": model, "onnx": network}, torch.rand(2, 1, 8, 8), rounds=3)
    assert len(times["onnx"].milliseconds) == 3
    assert "toy.onnx" in repr(network)


def decides(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


@pytest.mark.parametrize(
    "function, named",
    [
        (torch.linalg.svdvals, "aten.linalg_svd"),
        (torch.special.i1, "bessel_i1"),
        (lambda x: x[:, torch.randperm(4)], "aten.randperm"),
        (decides, "`if x.sum.. > 0:`"),
        (lambda x: x * int(x.sum() > 0), "values of a tensor"),
        (lambda x: torch.stack([one + 1 for one in x]), "number of pictures"),
        (lambda x: F.dropout(x, 0.5, training=True), "random"),
        (lambda x: "a text", "must return tensors"),
        (lambda x: x.view(2, 4, 36), r"pictures \(3, 1, 8, 8\): shape '\[2, 4, 36\]'"),
    ],
)
def test_what_cannot_be_exported_is_named_and_no_file_is_written(function, named, tmp_path, capfd):
    path = tmp_path / "new.onnx"
    with pytest.raises(ExportError, match=named) as caught:
        to_onnx(Does(function), torch.rand(1, 1, 8, 8), path)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    assert not path.exists()
    assert capfd.readouterr() == ("", "")


def test_several_outputs_and_an_old_file(tmp_path, capfd, recwarn):
    path = tmp_path / "new.onnx"
    path.write_text("old")
    model = Does(lambda x: {"sum": x.sum((2, 3)), "maps": [x]})
    assert to_onnx(model, torch.rand(2, 1, 8, 8), path) == path
    sums, maps = run_onnx(path, torch.rand(5, 1, 8, 8))
    assert sums.shape == (5, 4) and maps.shape == (5, 4, 6, 6)
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_masks_have_to_go_first(tmp_path):
    model = toy_model()
    torch_prune.l1_unstructured(model[0], "weight", amount=0.5)
    with pytest.raises(CourseError, match="0 still has a mask"):
        to_onnx(model, torch.rand(1, 1, 8, 8), tmp_path / "new.onnx")


@pytest.mark.parametrize("example", [None, torch.rand(3), torch.rand(0, 1, 8, 8), [1.0]])
def test_an_example_that_is_none(example, tmp_path):
    with pytest.raises(ExportError, match="at least one picture"):
        to_onnx(toy_model(), example, tmp_path / "new.onnx")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"no network", lambda b: b[:900]])
def test_a_damaged_file(exported, damage, tmp_path):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(exported[1].read_bytes()))
    with pytest.raises(ExportError, match=r"damaged\.onnx is damaged or not an ONNX file"):
        run_onnx(path, torch.rand(1, 1, 8, 8))


def test_no_file_and_pictures_of_another_shape(exported, tmp_path):
    with pytest.raises(ExportError, match="There is no file"):
        OnnxNetwork(tmp_path / "none.onnx")
    with pytest.raises(CourseError, match="is a folder"):
        OnnxNetwork(tmp_path)
    for shape in [(1, 1, 8, 9), (1, 3, 8, 8), (1, 8, 8)]:
        with pytest.raises(ExportError, match=r"takes \(N, 1, 8, 8\)"):
            run_onnx(exported[1], torch.rand(shape))


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_packages_the_export_says_what_to_install(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=f"pip install {package} "):
        to_onnx(toy_model(), torch.rand(1, 1, 8, 8), tmp_path / "new.onnx")


def test_a_network_too_large_for_one_file(tmp_path):
    with torch.device("meta"):
        model = nn.Linear(2**15, 2**15)
    with pytest.raises(ExportError, match="2 GB"):
        to_onnx(model, torch.rand(1, 2**15), tmp_path / "new.onnx")
