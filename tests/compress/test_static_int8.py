from __future__ import annotations

import platform
import sys

import pytest
import torch

from course_utils.compress import (
    has_vnni,
    mask_by_magnitude,
    onnx_int8,
    pt2e_int8,
    run_onnx,
    to_onnx,
)
from course_utils.core import CourseError
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(train=120)
PICTURES = DATA.normalise(DATA.train.images)


@pytest.fixture(scope="module")
def network():
    return toy_model(norm=True).eval()


@pytest.fixture(scope="module")
def source(network, tmp_path_factory):
    return to_onnx(network, PICTURES[:1], tmp_path_factory.mktemp("onnx") / "float.onnx")


def test_pt2e_has_int8_weights_and_nearly_the_same_outputs(network, capfd, recwarn):
    before = weights(network)
    with torch.no_grad():
        converted, expected = pt2e_int8(network, PICTURES), network(PICTURES)
        found = converted(PICTURES)
    assert capfd.readouterr() == ("", "") and not recwarn.list
    assert same(before, weights(network))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert not torch.equal(found, expected)
    state = converted.state_dict()
    large = [one for one in state.values() if one.numel() > 20]
    assert len(large) == 2 and all(one.dtype == torch.int8 for one in large)


@pytest.mark.parametrize("method", ["min-max", "percentile"])
@pytest.mark.parametrize("count", [1, 120])
def test_the_int8_file_computes_nearly_the_same(
    network, source, method, count, tmp_path, capfd, recwarn
):
    before = source.read_bytes()
    target = tmp_path / "int8.onnx"
    assert onnx_int8(source, target, PICTURES[:count], method=method) == target
    assert capfd.readouterr() == ("", "") and not recwarn.list
    assert source.read_bytes() == before and b"/" not in target.read_bytes().split(b"onnx")[0]
    assert [one.name for one in tmp_path.iterdir()] == ["int8.onnx"]
    with torch.no_grad():
        expected = network(PICTURES)
    error = (run_onnx(target, PICTURES) - expected).norm() / expected.norm()
    assert 0 < error < (0.05 if count > 1 else 0.5)


def largest_code(path) -> int:
    import onnx
    from onnx import numpy_helper

    codes = [numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
    return max(int(abs(one.astype(int)).max()) for one in codes if one.dtype == "int8")


@pytest.mark.parametrize(
    "vnni, chosen, most", [(True, None, 127), (False, None, 64), (None, None, 64), (True, True, 64)]
)
def test_weights_keep_to_seven_bits_where_sums_are_cut_off(
    source, vnni, chosen, most, tmp_path, monkeypatch
):
    monkeypatch.setattr("course_utils.compress.static_int8.has_vnni", lambda: vnni)
    target = onnx_int8(source, tmp_path / "int8.onnx", PICTURES[:4], reduce_range=chosen)
    assert most - 2 <= largest_code(target) <= most


@pytest.mark.parametrize(
    "machine, found, expected",
    [
        ("x86_64", {"avx512_vnni": True, "avx_vnni": False}, True),
        ("AMD64", {"avx512_vnni": False, "avx_vnni": True}, True),
        ("x86_64", {"avx512_vnni": False, "avx_vnni": False, "avx2": True}, False),
        ("x86_64", {"avx2": True}, None),
        ("x86_64", None, None),
        ("arm64", {}, True),
        ("aarch64", None, True),
    ],
)
def test_which_processors_have_vnni(machine, found, expected, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    if found is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert has_vnni() is expected


@pytest.mark.parametrize(
    "change, words",
    [
        ({"method": "entropy"}, "method='entropy'"),
        ({"calibration": PICTURES[:0]}, "at least one"),
        ({"calibration": PICTURES[:, :, :5]}, r"takes \(N, 1, 8, 8\)"),
        ({"calibration": PICTURES * torch.inf}, "finite"),
        ({"source": "none.onnx"}, "There is no file"),
        ({"source": __file__}, "damaged"),
    ],
)
def test_what_onnx_runtime_cannot_quantize(change, words, source, tmp_path):
    target = tmp_path / "int8.onnx"
    target.write_text("old")
    settings = {"source": source, "target": target, "calibration": PICTURES} | change
    with pytest.raises(CourseError, match=words):
        onnx_int8(**settings)
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    "model, calibration, words",
    [
        (toy_model(), PICTURES[:, :, :5], r"does not run on calibration pictures \(1, 1, 5, 8\)"),
        (toy_model(), PICTURES[:0], "at least one"),
        (mask_by_magnitude(toy_model(), 0.5), PICTURES, "mask"),
    ],
)
def test_what_pt2e_cannot_quantize(model, calibration, words):
    with pytest.raises(CourseError, match=words):
        pt2e_int8(model, calibration)


def test_without_torchao(monkeypatch, network):
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e", None)
    with pytest.raises(CourseError, match="pip install torchao "):
        pt2e_int8(network, PICTURES)
