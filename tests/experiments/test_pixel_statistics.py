"""The statistics of pixels beside those of ImageNet."""

from __future__ import annotations

import pytest

from course_utils.experiments import pixel_statistics as module
from course_utils.experiments.results import load_results
from tests.toys import toy_data


def test_offset_and_deviation_are_those_of_standardised_pixels():
    data = toy_data(validation=0, channels=3)
    pixels = data.train.images.double() / 255
    records = list(module.statistics(data))
    assert [record["channel"] for record in records] == ["red", "green", "blue"]
    for channel, record in enumerate(records):
        mean, std = module.IMAGENET[record["channel"]]
        standardised = (pixels[:, channel] - mean) / std
        assert record["offset"] == pytest.approx(standardised.mean().item(), abs=1e-5)
        assert record["deviation"] == pytest.approx(standardised.std(correction=0).item(), abs=1e-5)


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND
    assert {record["channel"] for record in results.records} == set(module.IMAGENET)
