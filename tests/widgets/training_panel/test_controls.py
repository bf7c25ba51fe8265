from __future__ import annotations

import functools
import inspect
import itertools

import pytest
from torch import optim
from torch.optim import SGD, Adagrad, AdamW, lr_scheduler

from course_utils.core import CourseError
from course_utils.data import Augment
from course_utils.experiments import first_cnn_recipe
from course_utils.training import fit
from course_utils.training.optimizers import build_optimizer, build_scheduler
from course_utils.widgets.training_panel import controls as module
from course_utils.widgets.training_panel.controls import build_controls, fit_arguments
from tests.toys import toy_model


def choose(arguments: dict, **changes: object) -> tuple[dict, dict]:
    """Values of the controls for such arguments of `fit`, and the rest."""
    controls, initial, rest = build_controls(arguments)
    values = {name: control.value for name, control in controls.items()} | initial
    for name, value in values.items():
        controls[name].value = value  # a value that the control refuses raises here
    return values | changes, rest


def rates(arguments: dict, steps: int) -> list[float]:
    """The learning rate of each step, of what `fit` makes of its arguments."""
    optimizer = build_optimizer(toy_model(), arguments["optimizer"], arguments["learning_rate"])
    scheduler = build_scheduler(optimizer, arguments["scheduler"], steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return found


def test_the_recipes_schedule_is_the_one_named_here():
    recipe = first_cnn_recipe()
    values, rest = choose(recipe | {"scheduler": "one cycle"})
    ours = fit_arguments(values, rest)
    assert rates(ours, 40) == pytest.approx(rates(recipe, 40))
    assert {name: ours[name] for name in recipe if name not in ("scheduler", "seed")} == {
        name: value for name, value in recipe.items() if name not in ("scheduler", "seed")
    }
    ten_times = fit_arguments(values | {"learning_rate": 0.05}, rest)
    assert max(rates(ten_times, 40)) == pytest.approx(10 * max(rates(ours, 40)))


def test_what_fit_does_by_default_is_what_the_controls_say_by_default():
    ours = fit_arguments(*choose({}))
    defaults = inspect.signature(fit).parameters
    assert (ours.pop("optimizer"), ours.pop("learning_rate")) == (AdamW, 1e-3)
    assert ours == {name: defaults[name].default for name in ours}


def test_every_optimizer_can_be_made_and_asked_for_by_name():
    for name in module.OFFERED_OPTIMIZERS:
        arguments = fit_arguments(*choose({"optimizer": name, "learning_rate": 0.02}))
        optimizer = build_optimizer(toy_model(), arguments["optimizer"], arguments["learning_rate"])
        assert type(optimizer).__name__.lower() == name.split()[0].lower()
        assert optimizer.param_groups[0]["lr"] == 0.02
        assert (optimizer.param_groups[0].get("momentum", 0) > 0) == ("momentum" in name)


def test_every_schedule_can_be_made_and_asked_for_by_name():
    for name in module.OFFERED_SHAPES:
        arguments = fit_arguments(*choose({"scheduler": name, "learning_rate": 0.02}))
        found = rates(arguments, 20)
        assert max(found) == pytest.approx(0.02, rel=0.05)
        assert (found[-1] < 0.002) == (name != "constant")
        assert (found[0] < 0.002) == (name == "one cycle")
        for steps in range(1, 6):
            assert all(0 < rate <= 0.02 for rate in rates(arguments, steps)), (name, steps)


def test_the_readers_optimizer_keeps_its_rate_and_can_be_replaced():
    own = functools.partial(Adagrad, lr=0.3)
    values, rest = choose({"optimizer": own})
    assert values["optimizer"] == module.YOURS and values["learning_rate"] == 0.3
    assert fit_arguments(values, rest)["optimizer"] is own
    assert fit_arguments(values | {"learning_rate": 0.1}, rest)["learning_rate"] == 0.1
    assert fit_arguments(values | {"optimizer": "SGD"}, rest)["optimizer"] is SGD


def test_a_function_that_takes_no_rate_is_given_none():
    def make(parameters):
        return SGD(parameters, lr=0.7)

    values, rest = choose({"optimizer": make})
    arguments = fit_arguments(values, rest)
    assert arguments["learning_rate"] is None
    assert rates(arguments, 1) == [0.7]
    assert fit_arguments(values | {"optimizer": "Adam"}, rest)["learning_rate"] == 1e-3


def test_a_schedule_of_the_reader():
    def schedule(optimizer, steps):
        return lr_scheduler.StepLR(optimizer, 1)

    values, rest = choose({"scheduler": schedule, "scheduler_every": "epoch"})
    arguments = fit_arguments(values, rest)
    assert arguments["scheduler"] is schedule and arguments["scheduler_every"] == "epoch"
    assert fit_arguments(values | {"schedule": "cosine"}, rest)["scheduler_every"] == "step"


def test_augmentation_is_yours_or_a_common_one():
    own = Augment(cutout=3)
    values, rest = choose({"augment": own})
    assert values["augment"] and fit_arguments(values, rest)["augment"] is own
    assert fit_arguments(values | {"augment": False}, rest)["augment"] is None
    values, rest = choose({})
    assert fit_arguments(values | {"augment": True}, rest)["augment"] == Augment(2, True)


def test_arguments_without_a_control_are_passed_on():
    others = {"l1": 1e-4, "precision": "float32", "device": "cpu"}
    assert fit_arguments(*choose(others)).items() >= others.items()


def test_unusual_numbers_get_a_place_on_their_slider():
    unusual = {"learning_rate": 0.0042, "batch_size": 100}
    assert fit_arguments(*choose(unusual))["learning_rate"] == 0.0042
    controls, _, _ = build_controls(unusual)
    options = [value for _, value in controls["batch_size"].options]
    assert options == sorted(options) and 100 in options


def test_learning_rates_are_round_and_rise_evenly():
    ratios = [b / a for a, b in itertools.pairwise(module.LEARNING_RATES)]
    assert all(1.4 < ratio < 2.1 for ratio in ratios)
    assert 0.005 in module.LEARNING_RATES and (
        module.LEARNING_RATES[0],
        module.LEARNING_RATES[-1],
    ) == (1e-5, 1.0)


def test_what_the_panel_passes_itself_and_what_is_ready_is_refused():
    optimizer = SGD(toy_model().parameters(), lr=0.1)
    refused = dict.fromkeys(("stop", "on_step", "on_epoch", "progress", "checkpoint"))
    refused |= {"optimizer": optimizer, "scheduler": lr_scheduler.StepLR(optimizer, 1)}
    for name, value in refused.items():
        words = f"passes {name}= to fit" if value is None else f"makes the {name}, not a ready"
        with pytest.raises(CourseError, match=words):
            build_controls({name: value})


@pytest.mark.parametrize("schedule", module.OFFERED_SHAPES)
@pytest.mark.parametrize("optimizer", module.OFFERED_OPTIMIZERS)
def test_the_code_is_the_call_that_the_panel_makes(optimizer: str, schedule: str):
    values, rest = choose({"l1": 1e-4})
    changes = {"optimizer": optimizer, "schedule": schedule, "augment": True}
    changes |= {"label_smoothing": 0.1, "learning_rate": 0.003}
    names = vars(optim) | vars(lr_scheduler) | {"partial": functools.partial, "Augment": Augment}
    names |= {"fit": lambda model, data, **arguments: arguments, "model": None, "data": None}
    called = {"scheduler": None} | eval(module.code_for(values | changes, rest), names)
    expected = fit_arguments(values | changes, rest)
    assert rates(called, 10) == pytest.approx(rates(expected, 10))
    for name in ("epochs", "batch_size", "learning_rate", "label_smoothing", "augment", "l1"):
        assert called[name] == expected[name]


def test_code_for_what_is_yours_leaves_a_gap():
    values, rest = choose({"optimizer": lambda p: SGD(p, lr=1), "scheduler": lambda o, n: None})
    code = module.code_for(values, rest)
    assert "optimizer=..." in code and "scheduler=..." in code
