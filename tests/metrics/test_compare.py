"""Models side by side. No time is asserted; how latency is measured is in `test_latency`."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from course_utils.conv import ReceptiveField
from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.metrics import evaluate, wilson_interval
from course_utils.metrics.compare import Comparison, Measurements, compare_models
from course_utils.metrics.latency import Latency
from tests.toys import same, stripes, toy_data, toy_model, weights


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data()


def compare(before: nn.Module, after: nn.Module, data, **options) -> Comparison:
    return compare_models({"before": before, "after": after}, data, **options)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_each_number(data, part):
    model = toy_model(norm=True)
    result = compare(toy_model(), model, data, part=part, latency=False)["after"]
    expected = evaluate(model, getattr(data, part), mean=data.mean, std=data.std)
    assert (result.correct, result.total) == (expected.correct, expected.total)
    assert result.accuracy == expected.accuracy and result.interval() == expected.interval()
    assert result.interval(0.8) == wilson_interval(expected.correct, expected.total, 0.8)
    assert result.parameters == 6 * 9 + 6 + 6 + 6 + 96 * 3 + 3
    assert result.multiply_adds == 64 * 6 * 9 + 96 * 3
    assert result.receptive_field == ReceptiveField(3, 1, -1)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    assert result.file_bytes == len(file.getvalue()) and result.latency == {}


def test_pictures_of_ones_own_count_like_a_data_set_with_labels_or_without(data):
    model = toy_model()
    expected = compare(model, model, data, latency=False)["after"]
    images, labels = data.normalise(data.test.images), data.test.labels
    for size in (5, 1000):
        found = compare(model, model, (images, labels), latency=False, batch_size=size)
        assert found["after"] == expected
    result = compare(model, model, (images, None), latency=False)
    assert result["after"].accuracy is None and result["after"].interval() is None
    assert "accuracy" not in result.as_frame().index


def test_the_receptive_field_is_that_of_the_convolution_called_last(data):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.second = nn.Conv2d(1, 1, 9), nn.Conv2d(2, 2, 3)
            self.first, self.head = nn.Conv2d(1, 2, (3, 5)), nn.Linear(2, 3)

        def forward(self, x):
            return self.head(self.second(self.first(x)).mean((2, 3)))

    class BehindAGate(Backwards):
        def forward(self, x):
            x = self.first(x)
            return self.head(self.second(x * x.mean((2, 3), keepdim=True)).mean((2, 3)))

    models = {
        "dense": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
        "branch": Backwards(),
        "gate": BehindAGate(),
    }
    result = compare_models(models, data, latency=False)
    fields = {name: one.receptive_field for name, one in result.models.items()}
    assert fields == {"dense": None, "branch": ReceptiveField((5, 7)), "gate": None}
    row = result.as_frame().loc["receptive field"]
    assert row.tolist() == ["–", "5×7", "–", "–", "–"]


def measured(correct: int, parameters: int, field: int, size: int, **times) -> Measurements:
    """Return measurements with the milliseconds of batches of 1 and of 64 pictures."""
    latency = {count: Latency(count, times[f"of_{count}"]) for count in (1, 64)}
    return Measurements(correct, 3, parameters, 50_000, ReceptiveField(field), size, latency)


MEASURED = {
    "small": measured(1, 1000, 4, 5000, of_1=(1.0, 2.0, 4.0), of_64=(10.0, 10.0, 10.0)),
    "large": measured(2, 2500, 10, 2500, of_1=(3.0, 6.0, 4.0), of_64=(5.0, 5.0, 5.0)),
}


def test_the_table():
    frame = Comparison(MEASURED).as_frame()
    assert list(frame.columns) == ["small", "large", "large vs small"]
    assert {name: row.tolist() for name, row in frame.iterrows()} == {
        "accuracy": ["33.3% (6.1% to 79.2%)", "66.7% (20.8% to 93.9%)", "+33.3 points"],
        "parameters": ["1,000", "2,500", "×2.50"],
        "multiply-adds": ["50,000", "50,000", "same"],
        "receptive field": ["4×4", "10×10", "×2.50"],
        "latency, batch 1": ["2 ms (1.5 to 3)", "4 ms (3.5 to 5)", "×3.00"],
        "latency, batch 64": ["10 ms (10 to 10)", "5 ms (5 to 5)", "×0.50"],
        "file size (bytes)": ["5,000", "2,500", "×0.50"],
    }
    ratio = Comparison(MEASURED).latency_ratio  # within the rounds: of 3, 3 and 1, not 4 / 2
    assert (ratio("large"), ratio("large", 64), ratio("small", 64)) == (3, 0.5, 1)
    down = Comparison(dict(reversed(MEASURED.items()))).as_frame()
    assert down.loc["accuracy", "small vs large"] == "−33.3 points"


def test_one_model_alone_and_several():
    assert list(Comparison({"a": MEASURED["small"]}).as_frame().columns) == ["a"]
    several = {"a": MEASURED["small"], "b": MEASURED["large"], "c": MEASURED["small"]}
    result = Comparison(several)
    frame = result.as_frame()
    assert list(frame.columns) == ["a", "b", "c", "b vs a", "c vs a"]
    assert frame.loc["accuracy", "c vs a"] == "same"
    assert str(result) == frame.to_string() and result._repr_html_() == frame.to_html()


def test_latency_of_the_batches_asked_for(data):
    images = data.normalise(data.test.images)
    seen: dict[int, torch.Tensor] = {}
    model = toy_model()
    model.register_forward_hook(lambda module, args, output: seen.update({len(args[0]): args[0]}))
    options = {"latency_batches": (2, 50), "seconds": 0.0}
    result = compare(model, toy_model(), (images[:3], None), **options)
    assert torch.equal(seen[2], images[:2])
    assert torch.equal(seen[50], images[:3].repeat(17, 1, 1, 1)[:50])  # of three pictures
    for one in result.models.values():
        assert {size: taken.batch_size for size, taken in one.latency.items()} == {2: 2, 50: 50}
        assert len(one.latency[2].milliseconds) >= 3
    assert result.latency_ratio("after", 50) > 0
    assert "latency, batch 50" in result.as_frame().index


def test_the_clock_is_the_one_asked_for(data):
    ticks = iter(range(10_000))
    options = {"latency_batches": (2,), "seconds": 0.0, "clock": lambda: float(next(ticks))}
    result = compare(toy_model(), toy_model(), data, **options)
    assert {one.latency[2].median for one in result.models.values()} == {1000.0}


def test_models_and_random_numbers_stay_as_they_were(data):
    def draw_in_every_mode(*_):
        torch.rand(1)

    model = toy_model(norm=True, dropout=0.5).train()
    model[1].eval()
    model[0].register_forward_pre_hook(draw_in_every_mode)
    modes, before = [m.training for m in model.modules()], weights(model)
    state = torch.get_rng_state()
    compare(model, toy_model(), data, latency_batches=(1,), seconds=0.0)
    assert [m.training for m in model.modules()] == modes and same(before, weights(model))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


images, labels = torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": {}}, "at least one model"),
        ({"models": {"b": nn.Sequential(nn.Flatten(), nn.Linear(64, 7))}, "data": toy_data()},
         r"^b: .*7 scores .* 3 classes"),
        ({"models": {"b": nn.Conv2d(1, 3, 3)}}, "^b: .*flatten"),
        ({"models": {"a": nn.Linear(1, 1, device="meta")}}, "a is on the meta device"),
        ({"latency_batches": (1, 0)}, "from 1 up"),
        ({"data": toy_data(), "part": "exam"}, "'exam'.*'test'"),
        ({"data": toy_data(validation=0), "part": "validation"}, "no picture"),
        ({"data": (images[:0], None)}, "no picture"),
        ({"data": (images.to(torch.uint8), labels)}, "uint8.*normalise"),
        ({"data": (images[0], labels[:1])}, r"\(1, 8, 8\)"),
        ({"data": (images, labels[:3])}, r"\(4,\).*\(3,\)"),
        ({"data": stripes(4)}, "ImageSet.*Dataset"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(changes, text):
    arguments = {"models": {"a": toy_model()}, "data": (images, labels), "latency": False}
    with pytest.raises(CourseError, match=text):
        compare_models(**{**arguments, **changes})
