"""The budget of a search: a number of candidates, a limit in seconds, or both."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

from course_utils.core import CourseError

_PART = re.compile(r"(\d+\.?\d*|\.\d+)\s*(s|seconds?|min|minutes?|trials?|candidates?)")
_EXAMPLES = "such as 12, or a text such as '12 candidates', '2 min' or '12 candidates, 2 min'"


@dataclass(frozen=True)
class Budget:
    """A budget; at least one of the two is given.

    Attributes:
        seconds: of wall-clock time.
        trials: candidates. With this the seconds are only a limit: until it is reached, the search
            is the same on a fast and on a slow machine. Without it the rounds are planned by time.
    """

    seconds: float | None = None
    trials: int | None = None

    @classmethod
    def of(cls, value: float | str | Budget) -> Budget:
        """Read a budget: a number of candidates, or a text such as "2 min" or "12 candidates".

        A text may have both, with a comma between: "12 candidates, 2 min".

        Raises:
            CourseError: the value is neither, or not above 0.
        """
        if isinstance(value, Budget):
            return value
        if isinstance(value, str):
            found = [_PART.fullmatch(part.strip()) for part in value.split(",")]
            read = [_read(*match.groups()) for match in found if match]
            units = {unit for part in read for unit in part}
            if all(found) and all(read) and len(units) == len(read):
                return cls(**{unit: amount for part in read for unit, amount in part.items()})
        elif isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf:
            if value == int(value):
                return cls(trials=int(value))
            raise CourseError(
                f"budget={value!r} is not a whole number of candidates: give one {_EXAMPLES}."
            )
        raise CourseError(
            f"budget={value!r} is not a budget: give a number of candidates from 1 up, {_EXAMPLES}."
        )

    def used(self, seconds: float, trials: int) -> float:
        """Return the share of the budget that is spent, from 0: of the trials, if it has them."""
        return trials / self.trials if self.trials is not None else seconds / self.seconds

    def __str__(self) -> str:
        trials = f"{self.trials} candidate{'s' * (self.trials != 1)}"
        parts = [trials] * (self.trials is not None)
        return ", ".join(parts + [f"{self.seconds or 0:g} s"] * (self.seconds is not None))


def _read(number: str, unit: str) -> dict[str, Any]:
    """Return {attribute of the budget: amount}; {} for an amount that it cannot have."""
    amount = float(number)
    if unit[0] in "tc":
        return {"trials": int(number)} if number.isdecimal() and amount else {}
    return {"seconds": amount * (60 if unit.startswith("m") else 1)} if amount else {}
