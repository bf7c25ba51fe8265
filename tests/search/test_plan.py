"""Plans: stored, refused, and the networks that they name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from course_utils.core.errors import CourseError
from course_utils.search import Plan


def test_a_plan_can_be_stored(plan):
    plan = replace(plan, objectives=("accuracy", "multiply_adds"), pictures=np.int64(30))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "guess"}, "'grid' or 'random'"),
        ({"pruner": "axe"}, "'none' or 'halving'"),
        ({"weights": "old"}, "'keep' or 'fresh'"),
        ({"trials": 0}, "trials=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"pictures": 0}, "pictures=0"),
        ({"trials": 1.5}, "trials=1.5: give a whole number from 1 up"),
        ({"trials": None}, "trials=None"),
        ({"epochs": True}, "epochs=True"),
        ({"seed": -1}, "seed=-1: give a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"objectives": ("speed",)}, "objectives"),
        ({"objectives": ("accuracy", "multiply_adds"), "pruner": "halving"}, "two objectives"),
        ({"objectives": ("accuracy", "multiply_adds"), "method": "cmaes"}, "one objective only"),
    ],
)
def test_plans_that_make_no_sense_are_refused(space, settings, said):
    with pytest.raises(CourseError, match=said):
        Plan(space, **settings)


def test_a_network_that_cannot_be_made_is_said(plan):
    for network in ("nowhere:net", "course_utils.models:Nothing", "x", "os:"):
        with pytest.raises(CourseError, match="cannot be made"):
            replace(plan, network=network).load_network()
