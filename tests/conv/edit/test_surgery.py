"""The edited layer alone: what its kernels and groups become."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from course_utils.conv.edit.surgery import with_groups, with_kernel_size


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(1, 9))
def test_a_larger_kernel_computes_the_same_and_a_smaller_one_is_its_middle(h, w, new_h, new_w):
    weight = torch.randn(2, 3, h, w)
    got = with_kernel_size(weight, (new_h, new_w))
    assert got.shape == (2, 3, new_h, new_w)
    picture = torch.randn(1, 3, 12, 12)
    if new_h >= h and new_w >= w:
        same, grown = (F.conv2d(picture, kernel, padding="same") for kernel in (weight, got))
        assert torch.allclose(same, grown, atol=1e-4)
    else:
        again = with_kernel_size(with_kernel_size(got, (9, 9)), (new_h, new_w))
        assert torch.equal(again, got)


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_groups(old, new):
    weight = torch.randn(12, 12 // old, 3, 3)
    got = with_groups(weight, old, new)
    assert got.shape == (12, 12 // new, 3, 3)
    dense_old, dense_new = with_groups(weight, old, 1), with_groups(got, new, 1)
    kept = dense_new != 0
    assert torch.equal(dense_new[kept], dense_old[kept])  # nothing is made up
    if old % new == 0:
        assert torch.equal(dense_new, dense_old)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_dense_layer_computes_what_its_groups_did(groups):
    weight, picture = torch.randn(8, 4 // groups, 3, 3), torch.randn(2, 4, 6, 6)
    want = F.conv2d(picture, weight, groups=groups)
    got = F.conv2d(picture, with_groups(weight, groups, 1))
    assert torch.allclose(got, want, atol=1e-5)
