"""The budget of a search: seconds, or a number of candidates."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real

from course_utils.core import CourseError


@dataclass(frozen=True)
class Budget:
    """A budget in exactly one of the two units.

    Attributes:
        seconds: of wall-clock time.
        trials: candidates.
    """

    seconds: float | None = None
    trials: int | None = None

    @classmethod
    def of(cls, value: float | str | Budget) -> Budget:
        """Read a budget: a number of seconds, or a text such as "120 s" or "24 trials".

        Raises:
            CourseError: the value is neither, or not above 0.
        """
        if isinstance(value, Budget):
            return value
        if isinstance(value, str):
            found = re.fullmatch(r"\s*([\d.]+)\s*(s|seconds?|min|minutes?|trials?)\s*", value)
            if found:
                amount, unit = found.groups()
                if unit.startswith("t") and amount.isdecimal() and int(amount) > 0:
                    return cls(trials=int(amount))
                if not unit.startswith("t") and amount.count(".") <= 1 and amount != ".":
                    return cls.of(float(amount) * (60 if unit.startswith("m") else 1))
        elif isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf:
            return cls(seconds=float(value))
        raise CourseError(
            f"budget={value!r} is not a budget: give seconds above 0, such as 120, or a text such "
            "as '2 min' or '24 trials'."
        )

    def used(self, seconds: float, trials: int) -> float:
        """Return the share of the budget that is spent, from 0."""
        return trials / self.trials if self.trials is not None else seconds / self.seconds

    def __str__(self) -> str:
        return f"{self.seconds:g} s" if self.trials is None else f"{self.trials} trials"
