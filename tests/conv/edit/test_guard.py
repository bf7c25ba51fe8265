"""The guarantee that the result runs and holds what it held, and that the original stays."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv import AdaptedConv2d, EditError, edit_conv
from tests.toys import same, weights

BATCH = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Keeps(nn.Module):
    """Keeps something on itself, as several well-known networks do."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.mean = how, torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
        self.cache, self.seen, self.count, self.norms = {}, [None], torch.zeros(()), (None,)
        self.image_hooks = torch.ones(3)  # a name like those of PyTorch's tables
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        match self.how:
            case "cast":
                self.mean = self.mean.type_as(x)
            case "grid":
                if x.shape[-2:] not in self.cache:
                    self.cache[x.shape[-2:]] = {"grid": [torch.ones(x.shape[-2:]).to(x)]}
            case "list":
                self.seen[0] = x.mean((2, 3))
                self.seen.append(self)
            case "count":
                self.count += 1
            case "new name":
                self.last = x.mean((2, 3))
            case "on a layer":
                self.a.last = [self.a.weight.detach().clone()]
            case "tuple":
                self.norms = (x.norm(),)
        y = self.b(self.a(x - self.mean).relu())
        return y + sum(grids["grid"][0] for grids in self.cache.values())


HOWS = ["cast", "grid", "list", "count", "new name", "on a layer", "tuple"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("ran", [False, True])
def test_what_modules_hold_is_as_before(how, ran):
    model = Keeps(how).eval()
    if ran:  # with gradients: what it holds then cannot be copied by `copy.deepcopy`
        model(BATCH)
    held = {name: repr(value) for name, value in vars(model).items()}
    identities = {name: id(value) for name, value in vars(model).items()}
    new = edit_conv(model, "a", example_input=BATCH, out_channels=12, adapter=False)
    with pytest.raises(ValueError):
        edit_conv(model, "b", example_input=BATCH, out_channels=12, adapter=False)
    assert {name: repr(value) for name, value in vars(model).items()} == held
    assert {name: id(value) for name, value in vars(model).items()} == identities
    assert torch.equal(model.count, new.count) and new.count is not model.count
    assert new.cache is not model.cache and new.seen is not model.seen
    assert set(vars(new)) == set(vars(model)) and set(vars(new.a)) == set(vars(model.a))
    assert not any(t.is_meta for t in (new.mean, *new.seen, *new.norms) if isinstance(t, Tensor))
    with torch.no_grad():
        assert torch.allclose(new(BATCH), model(BATCH), atol=1e-5)


def test_the_original_is_untouched_though_it_writes_into_itself():
    class Clamps(nn.Sequential):
        def forward(self, x):
            self[0].weight.data.clamp_(-0.01, 0.01)
            self[1].running_mean += 1
            return super().forward(x if x.sum().item() < 1e9 else -x)

    model = Clamps(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)).eval()
    before = {name: value.clone() for name, value in weights(model).items()}
    edit_conv(model, "0", example_input=BATCH, out_channels=9)
    assert same(weights(model), before)


class Fixed(nn.Module):
    """Has a number of channels written into its forward."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.scale = nn.Parameter(torch.rand(8))
        self.c = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.a(x)
        match self.how:
            case "groups":
                y = F.conv2d(y, self.b.weight, self.b.bias, padding=1, groups=8)
            case "slice":
                y = self.b(torch.cat([y, y], 1)[:, :8])
            case "layer norm":
                y = F.layer_norm(y.movedim(1, -1), (8,), self.scale).movedim(-1, 1)
            case "group norm":
                y = F.group_norm(y, 4, self.scale)
            case "mask":
                y = y * torch.ones(1, 8, 1, 1, device=y.device)
            case "kernel":
                y = F.conv2d(y, self.b.weight * torch.ones(3, 3, device=y.device), groups=8)
            case "shape":
                y = y.reshape(len(y), 8, 8, 8)
            case "index":
                y = y[:, [0, 1, 2, 3, 4, 5, 6, 7]]
        return self.c(y)


HOWS = ["groups", "slice", "layer norm", "group norm", "mask", "kernel", "shape", "index"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("changes", [{"out_channels": 12}, {"out_channels": 4}, {"kernel_size": 5}])
@pytest.mark.parametrize("looks", [False, True])
def test_every_network_that_is_returned_runs(how, name, changes, looks):
    class Model(Fixed):
        def forward(self, x):
            return super().forward(-x if looks and x.sum().item() > 1e9 else x)

    model = Model(how).eval()
    if name == "b" and how not in ("groups", "slice", "kernel"):
        return  # it is not used
    for adapter in (False, True):
        try:
            new = edit_conv(model, name, example_input=BATCH, adapter=adapter, **changes)
        except EditError:  # an adapter behind `b` is not called where only its weight is used
            assert not adapter or (name == "b" and how != "slice")
        else:
            with torch.no_grad():
                assert new(BATCH).shape == model(BATCH).shape


def test_the_same_edit_twice_is_the_same_network():
    class Finds(nn.Module):
        """Returns as many places as there are bright ones."""

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

        def forward(self, pictures):
            noise = torch.rand(8, 8, device=pictures[0].device)
            maps = self.b(self.a(torch.stack(pictures))).squeeze(1) + noise
            return [{"places": (m > m.mean()).nonzero(), "values": m[m > m.mean()]} for m in maps]

    model, results = Finds().eval(), []
    for seed in range(3):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        torch.full((4000,), float("nan"))  # what lies in memory must not matter
        new = edit_conv(model, "a", example_input=[*BATCH], out_channels=5, adapter=False)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(weights(new))
    assert same(results[0], results[1]) and same(results[0], results[2])
    assert len(new([*BATCH])) == 2


def test_the_readers_hooks_are_kept_and_not_called():
    model, seen = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)), []
    model.register_forward_hook(lambda module, args, output: seen.append(output))
    model[0].register_forward_pre_hook(lambda module, args: seen.append(args))
    new, report = edit_conv(model, "0", example_input=BATCH, out_channels=12, return_report=True)
    assert report.same_function and report.difference(BATCH) < 1e-5
    assert not seen
    new(BATCH)
    assert len(seen) == 2


def test_hooks_without_which_the_model_does_not_run_are_called():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(16, 4, 1))
    model[0].register_forward_hook(lambda module, args, output: torch.cat([output, output], 1))
    new = edit_conv(model, "0", example_input=BATCH, out_channels=12, adapter=False)
    assert new[1].in_channels == 24
    assert torch.allclose(new(BATCH), model(BATCH), atol=1e-5)


def test_a_network_that_has_hooks_of_its_own():
    class Collects(nn.Module):
        def __init__(self):
            super().__init__()
            self.found = []
            self.body = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1))
            self.body[0].register_forward_hook(self.collect)

        def collect(self, module, args, output):
            self.found.append(output)

        def forward(self, x):
            self.found.clear()
            y = self.body(x)
            return [y, self.found[0].mean((1, 2, 3))]

    model = Collects().eval()
    new = edit_conv(model, "body.0", example_input=BATCH, out_channels=16, adapter=False)
    assert torch.allclose(new(BATCH)[1], model(BATCH)[1], atol=1e-5)
    assert new.found is not model.found and len(copy.copy(new).found) == 1
    assert not isinstance(new.body[0], AdaptedConv2d)
