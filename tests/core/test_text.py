from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core import (
    decimal_text,
    number_text,
    power_of_ten,
    product_text,
    shape_text,
    sum_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0"), (-0.0, "0"), (3.0, "3"), (-12.0, "−12"), (100.0, "100")],
        *[(0.5, "0.5"), (-0.25, "−0.25"), (1 / 9, "1/9"), (-1 / 16, "−1/16")],
        *[(0.123, "0.12"), (-0.001, "0"), (1234.5678, "1234.57")],
    ],
)
def test_numbers_are_written_as_short_as_they_can_be(value, text):
    assert number_text(value) == text


@settings(max_examples=50)
@given(st.floats(-1e4, 1e4), st.integers(0, 3))
def test_a_decimal_can_be_read_back(value, decimals):
    text = decimal_text(value, decimals)
    assert abs(float(text.replace("−", "-")) - value) <= 0.5 * 10**-decimals + 1e-9
    assert "-" not in text and not text.endswith(".")


def test_products_sums_powers_and_shapes():
    assert product_text(5, -1) == "5·(−1)"
    assert product_text(-0.5, 1 / 9) == "(−0.5)·1/9"
    assert sum_text(["2", "−3", "0"]) == "2 − 3 + 0"
    assert sum_text(["−1"]) == "−1"
    assert power_of_ten(0) == "10⁰" and power_of_ten(38) == "10³⁸"
    assert power_of_ten(-12, digit=3) == "3·10⁻¹²"
    assert shape_text(torch.Size([3, 32, 32])) == "3×32×32"
    assert shape_text((7,)) == "7" and shape_text(()) == "()"
