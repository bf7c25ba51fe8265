"""A kernel as a table of number fields, to be edited in the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import traitlets

from course_utils.core import CourseError

SIZES = (1, 3, 5)
_FIELD = 48  # CSS pixels

Kernel = tuple[tuple[float, ...], ...]
Action = Callable[[], Any]


class KernelGrid(widgets.GridBox):
    """Number fields for a square kernel of 1, 3 or 5 rows.

    Arrow keys step a number up and down. A field shows three decimals; `value` keeps them all.

    Args:
        guard: returns an action so that its exceptions are shown; by default they are raised.

    Attributes:
        value: the rows of the kernel. Set it to show another kernel; it follows what is typed.
    """

    # Any would take None without asking `_table`.
    value: Kernel = traitlets.Instance(object, args=())

    def __init__(self, value: Any, guard: Callable[[Action], Action] = lambda action: action):
        self._guard = guard
        largest = max(SIZES)
        self._fields = [[self._field(i, j) for j in range(largest)] for i in range(largest)]
        self._writing = False
        super().__init__(value=value)
        self.add_class("course-kernel")
        self._show()

    def _field(self, row: int, column: int) -> widgets.FloatText:
        field = widgets.FloatText(
            tooltip=f"kernel, row {row}, column {column}", layout={"width": f"{_FIELD}px"}
        )
        typed = self._guard(lambda: self._type(row, column, field.value))
        field.observe(lambda _: typed(), names="value")
        return field

    @traitlets.validate("value")
    def _table(self, proposal: dict[str, Any]) -> Kernel:
        try:
            rows = tuple(tuple(float(number) for number in row) for row in proposal["value"])
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(f"a kernel is a table of numbers ({error})") from error
        if len(rows) not in SIZES or any(len(row) != len(rows) for row in rows):
            raise traitlets.TraitError("the kernel must have 1 × 1, 3 × 3 or 5 × 5 numbers")
        if not all(abs(number) < 1e6 for row in rows for number in row):
            raise traitlets.TraitError("its numbers must lie between −1,000,000 and 1,000,000")
        return rows

    @traitlets.observe("value")
    def _show(self, _change: Any = None) -> None:
        if not self.has_trait("layout") or not hasattr(self, "_fields"):
            return
        size = len(self.value)
        step = 1 if all(number.is_integer() for row in self.value for number in row) else 0.05
        self._writing = True
        try:
            for i, row in enumerate(self.value):
                for j, number in enumerate(row):
                    field = self._fields[i][j]
                    field.step, field.value = step, round(number, 3)
        finally:
            self._writing = False
        children = [field for row in self._fields[:size] for field in row[:size]]
        if len(children) != len(self.children):
            self.children = children
            self.layout.grid_template_columns = f"repeat({size}, {_FIELD + 4}px)"

    def _type(self, row: int, column: int, number: float) -> None:
        if not self._writing:
            rows = [list(line) for line in self.value]
            rows[row][column] = number
            try:
                self.value = rows
            except traitlets.TraitError as error:
                raise CourseError(f"The kernel cannot have {number:g}: {error}.") from error
