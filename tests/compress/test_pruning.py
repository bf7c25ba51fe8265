from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from course_utils.compress import NothingToRemove, mask_by_magnitude, plan_widths, prune
from course_utils.conv import EditError, channel_groups
from course_utils.core import CourseError
from course_utils.models import SimpleCNN
from tests.compress.toy_networks import DATA, PICTURES, toy_resnet, widths_of
from tests.toys import same, weights

# stem, stage1: conv1 conv2, stage2: conv1 conv2 shortcut
FREE = {"divisible_by": 1, "floor": 1}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"share": 0.5}, [16, 16, 16, 24, 24, 24]),
        ({"share": 0.5, "divisible_by": 1}, [16, 16, 16, 24, 24, 24]),
        ({"share": 0.3, "divisible_by": 1}, [22, 22, 22, 34, 34, 34]),
        ({"share": 0.3}, [24, 24, 24, 32, 32, 32]),
        ({"share": 0.99}, [8, 8, 8, 8, 8, 8]),
        ({"share": 0.99, "floor": 20}, [24, 24, 24, 24, 24, 24]),
        ({"share": 0.99} | FREE, [1, 1, 1, 1, 1, 1]),
        ({"share": {"stage2.0.conv1": 0.5}}, [32, 32, 32, 24, 48, 48]),
        ({"share": {"stage1.0.conv2": 0.5, "stage2.0.conv1": 0}}, [16, 32, 16, 48, 48, 48]),
    ],
)
def test_widths(settings, expected):
    model = toy_resnet((32, 48))
    before = weights(model)
    pruned, report = prune(model, example_input=PICTURES, return_report=True, **settings)
    assert widths_of(pruned) == [now for _, now in report.widths.values()] == expected
    assert same(before, weights(model)) and report.untouched == {}
    assert pruned(PICTURES).shape == model(PICTURES).shape
    assert list(report.as_frame()["before"]) == widths_of(model)


def test_the_least_important_channels_go_and_the_rest_computes_the_same():
    """If the channels that go are silent, the network computes the same without them."""
    model = toy_resnet((16, 16))
    silent = torch.arange(0, 16, 2)
    with torch.no_grad():
        block = model.stage2[0]
        for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2)):
            for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean):
                tensor[silent] = 0
        block.shortcut[0].weight[silent] = 0
        for tensor in (block.shortcut[1].weight, block.shortcut[1].bias):
            tensor[silent] = 0
    pruned = prune(model, {"stage2.0.conv1": 0.5, "stage2.0.conv2": 0.5})
    assert widths_of(pruned) == [16, 16, 16, 8, 8, 8]
    torch.testing.assert_close(pruned(PICTURES), model(PICTURES))
    assert torch.equal(pruned.classifier.weight, model.classifier.weight[:, 1::2])


def test_globally_a_layer_with_even_scores_keeps_more():
    model = toy_resnet((16, 16))
    with torch.no_grad():
        model.stage2[0].conv1.weight[:8] *= 1e-3  # half of its channels hardly count
    groups = channel_groups(model, example_input=PICTURES)
    assert plan_widths(groups, 8 / 64, scope="global") == {"stage2.0.conv1": 8}
    assert plan_widths(groups, 32 / 64, scope="global") == dict.fromkeys(
        [group.name for group in groups], 8
    )


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.8])
def test_a_global_share_is_met_to_half_a_step(share):
    groups = channel_groups(toy_resnet((32, 48)), example_input=PICTURES)
    total = sum(group.channels for group in groups)
    for settings in ({"divisible_by": 8, "floor": 8}, {"divisible_by": 4, "floor": 4}, FREE):
        widths = plan_widths(groups, share, scope="global", **settings)
        gone = total - sum(widths.get(g.name, g.channels) for g in groups)
        assert abs(gone - share * total) <= settings["divisible_by"] / 2
        assert all(w % settings["divisible_by"] == 0 for w in widths.values())


def test_of_any_network_only_what_can_change():
    layers = [nn.Conv2d(1, 24, 3), nn.BatchNorm2d(24), nn.ReLU6(), nn.Conv2d(24, 24, 3, groups=24)]
    model = nn.Sequential(*layers, nn.Conv2d(24, 12, 1), nn.ReLU(), nn.Conv2d(12, 5, 1))
    pruned = prune(model, 0.6, example_input=PICTURES)
    assert widths_of(pruned) == [8, 8, 8, 5] and pruned[3].groups == 8
    assert pruned(PICTURES).shape == model(PICTURES).shape
    assert prune(nn.Sequential(model), 0.6, data=DATA)(PICTURES).shape == (24, 5, 4, 4)


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0, -1, 2, True, "half", None, float("nan")])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_share_must_be_between_0_and_1(share, scope):
    with pytest.raises(CourseError, match="between 0 and 1"):
        prune(toy_resnet(), share, example_input=PICTURES, scope=scope)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"share": {"stem": 1}}, "the share of stem=1"),
        ({"share": {"stem": True}}, "the share of stem=True"),
        ({"share": {"nothing": 0.5}}, "'nothing' has no channels"),
        ({"share": {"classifier": 0.5}}, "'classifier' has no channels"),
        ({"share": {"stem": 0.5, "stage1.0.conv2": 0.4}}, "shares its channels with stem"),
        ({"share": {}}, "No channel"),
        ({"share": {"stem": 0}}, "No channel"),
        ({"share": 0.5, "scope": "all"}, "scope='all'"),
        ({"share": 0.5, "divisible_by": 0}, "divisible_by=0"),
        ({"share": 0.5, "floor": 2.5}, "floor=2.5"),
        ({"share": 0.5, "importance": "l3"}, "importance='l3'"),
        ({"share": 0.5, "importance": None}, "importance=None"),
        ({"share": 0.5, "example_input": torch.zeros(2, 3, 8, 8)}, "does not run"),
        ({"share": 0.5, "data": "mnist"}, "is a name"),
    ],
)
def test_what_is_asked_wrongly(arguments, words):
    model = toy_resnet((16, 16))
    before = weights(model)
    with pytest.raises(CourseError, match=words):
        prune(model, **({"example_input": PICTURES} | arguments))
    assert same(before, weights(model))


@pytest.mark.parametrize(
    "model",
    [SimpleCNN(1, 3, 8, widths=(1, 1)), toy_resnet((8, 8)), nn.Sequential(nn.Conv2d(1, 64, 3))],
)
def test_a_network_with_nothing_to_remove(model):
    with pytest.raises(NothingToRemove, match="No channel can be removed"):
        prune(model, 0.5, example_input=PICTURES)


def test_a_network_with_masks_on_and_one_without_convolution():
    masked = mask_by_magnitude(toy_resnet(), 0.5)
    with pytest.raises(CourseError, match="stem still has a mask"):
        prune(masked, 0.5, example_input=PICTURES)
    biased = toy_resnet()
    torch_prune.random_unstructured(biased.classifier, "bias", amount=1)
    with pytest.raises(CourseError, match="classifier still has a mask"):
        prune(biased, 0.5, example_input=PICTURES)
    with pytest.raises(EditError, match="no Conv2d"):
        prune(nn.Linear(3, 3), 0.5)
    with pytest.raises(CourseError, match="must be a network"):
        prune("resnet18", 0.5)


@pytest.mark.parametrize("criterion", ["batch_norm", "taylor", "random"])
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_the_network_inside_a_wrapper_is_pruned(criterion, wrap):
    model = toy_resnet((16, 16))
    expected = prune(model, 0.5, importance=criterion, data=DATA)
    pruned, report = prune(wrap(model), 0.5, importance=criterion, data=DATA, return_report=True)
    assert same(weights(pruned), weights(expected)) and "stem" in report.widths


class Counts(nn.Module):
    """Stops with other than 16 channels."""

    def forward(self, x):
        if x.shape[1] != 16:
            raise RuntimeError("16 channels!")
        return x


def test_where_no_layer_can_follow_it_says_why():
    model = nn.Sequential(nn.Conv2d(1, 16, 3), Counts(), nn.Conv2d(16, 2, 1))
    with pytest.raises(CourseError, match=r"No channel can be removed.*16 channels!"):
        prune(model, 0.5, example_input=PICTURES)
    longer = nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 16, 1), *model[1:])
    pruned, report = prune(longer, 0.5, example_input=PICTURES, return_report=True)
    assert widths_of(pruned) == [16, 16, 2] and list(report.untouched) == ["1"]


@pytest.mark.parametrize(
    "name",
    ["squeezenet1_1", "resnet18", "shufflenet_v2_x0_5", "mnasnet0_5", "alexnet", "convnext_tiny"],
)
def test_networks_of_torchvision(name):
    from torchvision import models

    with torch.device("meta"):
        model = getattr(models, name)(weights=None).eval()
        picture = torch.zeros(1, 3, 224, 224)
    pruned, report = prune(model, 0.5, example_input=picture, return_report=True)
    assert pruned(picture).shape == (1, 1000) and report.untouched == {}
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, pruned)]
    assert sizes[1] < 0.7 * sizes[0]
