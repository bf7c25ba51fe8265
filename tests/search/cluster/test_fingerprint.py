"""A study has one network and one set of pictures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.search import Objective, create_study, work
from course_utils.search.cluster.fingerprint import check_fingerprint
from tests.search.queue import complete
from tests.toys import toy_data, toy_model


@pytest.mark.parametrize(
    ("model", "pictures", "said"),
    [
        (toy_model(), toy_data(train=301), r"stripes: 300 training .* 301 training"),
        (toy_model(norm=True), None, r"no 1.weight\) than yours \(1.weight: 6\)"),
        (
            nn.Sequential(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.LazyLinear(3)),
            None,
            r"0.weight: 6×1×3×3\) than yours \(0.weight: 6×1×5×5\)",
        ),
    ],
)
def test_one_study_is_about_one_network_and_its_pictures(model, pictures, said, plan, data):
    study = create_study(plan, "one")
    work(study, Objective(plan, toy_model(), data), until=lambda: complete(study))
    other = Objective(plan, model, pictures or data)
    with pytest.raises(CourseError, match=rf"'one' was begun with (other|another) .*{said}"):
        work(study, other)
    assert len(complete(study)) == 1
    work(study, Objective(plan, toy_model(seed=1), data))
    assert len(complete(study)) == plan.trials


def test_a_lazy_layer_is_the_same_before_and_after_its_first_run(plan, data):
    model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Flatten(), nn.LazyLinear(3))
    study = create_study(plan)
    check_fingerprint(study, Objective(plan, model, data))
    study.tell(study.ask(), 0.5)
    model(torch.zeros(1, 1, 8, 8))
    check_fingerprint(study, Objective(plan, model, data))


def test_as_long_as_nothing_is_known_others_may_take_their_place(plan, data):
    study = create_study(plan)
    check_fingerprint(study, Objective(plan, toy_model(), toy_data(train=301)))
    check_fingerprint(study, Objective(plan, toy_model(), data))
    study.ask()  # somebody is at work now
    with pytest.raises(CourseError, match="other pictures"):
        check_fingerprint(study, Objective(plan, toy_model(), toy_data(train=301)))
