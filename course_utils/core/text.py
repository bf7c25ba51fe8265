"""Numbers and shapes as text, for the cells of a picture and for sentences."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

MINUS = "−"
_LARGEST_DENOMINATOR = 16
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value: float, decimals: int = 2) -> str:
    """Return `value` as a short text: "−3", "0.25", a fraction such as "1/9", or rounded.

    A fraction is used only where `decimals` digits are not exact.

    >>> number_text(-3.0), number_text(0.25), number_text(1 / 9), number_text(0.1234)
    ('−3', '0.25', '1/9', '0.12')
    """
    rounded = round(value, decimals)
    if abs(rounded - value) > 1e-6:
        fraction = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
        if abs(float(fraction) - value) < 1e-6 and abs(fraction) < 10:
            return str(fraction).replace("-", MINUS)
    return decimal_text(value, decimals)


def decimal_text(value: float, decimals: int = 2) -> str:
    """Return `value` rounded to `decimals` digits after the point, without zeros at the end."""
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", MINUS)


def product_text(first: float, second: float) -> str:
    """Return the product of two factors as text, not computed: "5·(−1)"."""
    return "·".join(
        f"({n})" if n.startswith(MINUS) else n for n in map(number_text, (first, second))
    )


def sum_text(terms: list[str]) -> str:
    """Return the sum of terms with signs as text: "2 − 3 + 1" for ["2", "−3", "1"]."""
    text = terms[0]
    for term in terms[1:]:
        text += f" {MINUS} {term[1:]}" if term.startswith(MINUS) else f" + {term}"
    return text


def power_of_ten(exponent: int, digit: int = 1) -> str:
    """Return "10⁻⁸", or "3·10⁻⁸", in plain characters.

    Matplotlib draws mathtext slowly, and a screen reader cannot read it aloud.
    """
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if digit == 1 else f"{digit}·{power}"


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as text, such as "3×32×32"; "()" for a single number."""
    return "×".join(map(str, shape)) or "()"
