"""Check that pictures in outputs can be seen (a valid PNG, of more than one colour, not absent),
and reduce large ones.

nbval does not compare pictures, because their pixels depend on the machine's fonts.
"""

from __future__ import annotations

import ast
import base64
import io
import itertools
from collections.abc import Iterable
from typing import Any

from PIL import Image

PNG = "image/png"
LARGE = 100_000
"""Characters of a picture as base64, from which on it gets fewer colours."""


def fault_of(png: bytes) -> str:
    """Return why a picture cannot be seen; "" if it can."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            colours = image.convert("RGBA").getextrema()
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        return f"is not a valid PNG ({error})"
    if all(low == high for low, high in colours):
        return f"is blank: {image.width} × {image.height} pixels of one colour"
    return ""


def faults(outputs: Iterable[Any]) -> list[str]:
    """Return the faults of all pictures in the outputs of a cell."""
    written = [output["data"][PNG] for output in outputs if PNG in output.get("data", {})]
    return [f"a picture {fault}" for text in written if (fault := _fault_of_text(text))]


def missing(before: Iterable[Any], now: Iterable[Any]) -> list[str]:
    """Return a sentence if there are fewer pictures now than before."""
    wanted, found = (sum(PNG in one.get("data", {}) for one in part) for part in (before, now))
    return [f"pictures: {found} instead of {wanted}"] if found < wanted else []


def problems(cells: Iterable[Any]) -> list[str]:
    """Return what is wrong with the pictures of a notebook, a line each."""
    found, panels = [], _Panels()
    for number, cell in enumerate(cells, start=1):
        if cell.cell_type == "code":
            found += [f"cell {number}: {fault}" for fault in faults(cell.outputs)]
            pictured = any(PNG in output.get("data", {}) for output in cell.outputs)
            if panels.shown_by(cell.source) and not pictured:
                found.append(f"cell {number}: shows a panel, and there is no picture of it")
    return found


def compact(cells: Iterable[Any]) -> None:
    """Reduce large pictures to 256 colours, in place: a third of the bytes."""
    for output in itertools.chain.from_iterable(cell.get("outputs", ()) for cell in cells):
        text = output.get("data", {}).get(PNG, "")
        if len(text) > LARGE:
            with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
                if picture.mode in ("RGB", "RGBA"):
                    white = Image.new("RGBA", picture.size, "white")
                    opaque = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
                    # The default, MEDIANCUT, follows the frequent colours: it would turn a colour
                    # bar beside a large photograph into a few steps.
                    method, buffer = Image.Quantize.MAXCOVERAGE, io.BytesIO()
                    reduced = opaque.quantize(256, method, dither=Image.Dither.NONE)
                    reduced.save(buffer, "PNG", optimize=True)
                    output["data"][PNG] = base64.b64encode(buffer.getvalue()).decode()


def _fault_of_text(text: str) -> str:
    try:
        return fault_of(base64.b64decode(text))
    except ValueError as error:
        return f"is not a valid PNG ({error})"


class _Panels:
    """The names of panels in the cells so far."""

    def __init__(self) -> None:
        self._functions: set[str] = set()
        self._names: set[str] = set()

    def shown_by(self, source: str) -> bool:
        """Return whether the cell ends in a panel; remember the panels that it makes."""
        try:
            body = ast.parse(source).body
        except SyntaxError:  # a magic of IPython
            return False
        for statement in body:
            if isinstance(statement, ast.ImportFrom) and statement.module == "course_utils.widgets":
                self._functions |= {alias.asname or alias.name for alias in statement.names}
            if isinstance(statement, ast.Assign) and self._is_panel(statement.value):
                self._names |= {t.id for t in statement.targets if isinstance(t, ast.Name)}
        return bool(body) and isinstance(body[-1], ast.Expr) and self._is_panel(body[-1].value)

    def _is_panel(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Name):
            return value.id in self._names
        called = value.func if isinstance(value, ast.Call) else None
        return isinstance(called, ast.Name) and called.id in self._functions
