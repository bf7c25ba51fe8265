"""The experiment with few and many training images."""

from __future__ import annotations

from course_utils.experiments import compare_training_sizes as module
from course_utils.experiments.results import load_results
from course_utils.models import DenseBaseline
from tests.toys import toy_data


def test_one_record_for_each_training_and_equal_steps():
    data = toy_data(90)
    side = data.image_shape[-1]
    networks = {"one": lambda: DenseBaseline(1, 3, side, hidden=())}
    records = list(module.compare(data, networks, (12, len(data.train)), (0, 1), epochs=2))
    assert [record["images"] for record in records] == [12] * 2 + [len(data.train)] * 2
    steps = [record["epochs"] * record["images"] for record in records]
    assert max(steps) - min(steps) <= 12
    assert all(0 <= record["accuracy"] <= 1 for record in records)


def test_the_committed_file_is_of_this_experiment():
    frame = load_results(module.NAME).frame()
    runs = frame.groupby(["network", "images"])["seed"].nunique()
    wanted = {(n, size): len(module.SEEDS) for n in module.NETWORKS for size in module.SIZES}
    assert runs.to_dict() == wanted
