"""Store the first and the top network of the ladder in the package, for `load_pretrained`."""

from __future__ import annotations

from pathlib import Path

from course_utils.experiments.ladder.climb import trained
from course_utils.experiments.ladder.rungs import Plan, rung_data, rung_named, rungs_of
from course_utils.experiments.recipes import recipe_as_text
from course_utils.metrics import evaluate
from course_utils.models import save_pretrained

SEED = 0
# The last rung with weights of its own is "distilled", which did not do better than its teacher.
SHIPPED = {"ladder_first": "article", "ladder_top": "larger"}


def ship(plan: Plan, state: Path) -> None:
    """Write `ladder_first` and `ladder_top`, the networks of seed 0, from the trained weights.

    Their cards have the accuracy with one view of each picture.

    Args:
        state: The folder in which the ladder was trained.

    Raises:
        CourseError: If one of the two has not been trained there.
    """
    rungs = rungs_of(plan)
    for name, rung_name in SHIPPED.items():
        rung = rung_named(rung_name, rungs)
        data = rung_data(rung, plan)
        network, _ = trained(rung, data, SEED, state)
        channels, *size = data.image_shape
        result = evaluate(network, data.test, mean=data.mean, std=data.std)
        sizes = {"in_channels": channels, "classes": len(data.classes), "image_size": tuple(size)}
        content = {
            "model": network.state_dict(),
            "arguments": {**sizes, **rung.network},
            "data": data.name,
            "classes": list(data.classes),
            "mean": data.mean,
            "std": data.std,
            "correct": result.correct,
            "total": result.total,
            "recipe": recipe_as_text(dict(rung.fit)) | {"seed": repr(SEED)},
        }
        save_pretrained(name, content)
        print(f"{name}, the rung {rung.name}: {result}")
