"""Every network of the zoo, with the twelve kinds of edit."""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache

import pytest

from course_utils.conv import edit_conv
from course_utils.core.errors import CourseError
from tests.conv.edit import zoo_attention, zoo_edits, zoo_mobile, zoo_odd, zoo_plain
from tests.conv.edit.zoo import ZOO, Entry
from tests.conv.edit.zoo_edits import Changes
from tests.toys import same, weights

PARTS = (zoo_plain, zoo_mobile, zoo_attention, zoo_odd)
NAMES = sorted(ZOO)
ON_META = ("AlexNet", "Recurrent", "Swin", "densenet", "ghostnet", "resnest")
DOUBLED, OTHERS = 3, 6  # layers, and kinds: other ones of the twelve for each network


class Case:
    """One network before any edit, and what its edits must keep."""

    def __init__(self, name: str):
        self.entry: Entry = ZOO[name]
        self.model, self.inputs = self.entry.model(), self.entry.inputs()
        self.shapes = zoo_edits.shapes(self.entry.model(), self.inputs)
        self.output = zoo_edits.run(self.model, self.inputs)
        self.seen = zoo_edits.sizes_seen(self.model, self.inputs)
        self.layers = set(zoo_edits.layers_with_weights(self.model))
        self.pairs = self._pairs()
        wider = {name for name, _, changes in self.pairs if "out_channels" in changes}
        network = self.inputs, self.shapes
        self.outputs = {n for n in wider if zoo_edits.gives_the_output(self.model, n, *network)}

    def _pairs(self) -> list[tuple[str, str, Changes]]:
        """Return (layer, kind, changes): some of the kinds, on one layer after the other."""
        layers, kinds = list(self.seen), {}
        for name in layers[-1:] + layers[:-1]:
            conv = self.model.get_submodule(name)
            for kind, changes in zoo_edits.kinds(conv).items():
                if zoo_edits.fits(conv, changes, self.seen[name]):
                    kinds.setdefault(kind, []).append((name, kind, changes))
        chosen = zoo_edits.spread(kinds.pop("out_x2", []), DOUBLED)
        first, order = NAMES.index(self.entry.name), sorted(kinds)
        for turn in range(first, first + min(OTHERS, len(order))):
            choices = kinds[order[turn % len(order)]]
            chosen.append(choices[turn % len(choices)])
        return chosen

    def must_be_refused(self, name: str, changes: Changes) -> bool:
        return "out_channels" in changes and name in self.outputs

    def may_be_refused(self, name: str, changes: Changes) -> bool:
        conv = self.model.get_submodule(name)
        depthwise = conv.groups == conv.in_channels > 1
        uneven = changes.get("out_channels", 0) % conv.groups > 0 and not depthwise
        return uneven or name in self.entry.either

    def faults(self, kind: str, name: str, changes: Changes, result) -> list[str]:
        """Return what is wrong with an edited network."""
        found = list(zoo_edits.problems(result, name, changes))
        output = zoo_edits.run(result, self.inputs)
        shapes = zoo_edits.shapes(result, self.inputs)
        if shapes != self.shapes:
            found.append(f"its output is {shapes}, not {self.shapes}")
        if lost := self.layers - set(zoo_edits.layers_with_weights(result)):
            found.append(f"it has lost {lost}")
        if kind in zoo_edits.EXACT and kind not in self.entry.inexact:
            difference = zoo_edits.difference(self.output, output)
            if not difference <= zoo_edits.TOLERANCE:
                found.append(f"its output differs by {difference:.1e}")
        return found


case_of = cache(Case)


@pytest.mark.parametrize("network", NAMES)
def test_every_kind_of_edit(network):
    case = case_of(network)
    before, faults, trained = weights(case.model), [], False
    for name, kind, changes in case.pairs:
        where = f"{name}, {kind}"
        refused = case.must_be_refused(name, changes)
        try:
            result = edit_conv(case.model, name, example_input=case.inputs, **changes)
        except CourseError as error:
            if not refused and not case.may_be_refused(name, changes):
                faults.append(f"{where}: refused: {error}")
            continue
        if refused and name not in case.entry.either:
            faults.append(f"{where}: it gives the network's output, and was not refused")
            continue
        found = case.faults(kind, name, changes, result)
        faults += [f"{where}: {fault}" for fault in found]
        if not found and "out_channels" in changes and not trained:
            trained = True
            faults += [f"{where}: {fault}" for fault in after_one_step(result, case.inputs)]
    assert not faults, "\n" + "\n".join(faults)
    assert trained or not any("out" in kind for _, kind, _ in case.pairs)
    assert same(before, weights(case.model))
    assert not any(p.grad is not None for p in case.model.parameters())


def after_one_step(model, inputs) -> list[str]:
    """Return what is wrong with the gradients of one step of training."""
    model.train().zero_grad()
    zoo_edits.outputs(model(*inputs)).square().mean().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if not gradients:
        return ["nothing has a gradient"]
    return [f"{n} has no finite gradient" for n, g in gradients.items() if not g.isfinite().all()]


@pytest.mark.parametrize("network", ON_META)
def test_on_the_meta_device(network):
    case = case_of(network)
    model = copy.deepcopy(case.model).to("meta")
    inputs = case.entry.inputs(device="meta")
    for name, kind, changes in case.pairs[::2]:
        if case.must_be_refused(name, changes) or case.may_be_refused(name, changes):
            continue
        result = edit_conv(model, name, example_input=inputs, **changes)
        real = edit_conv(case.model, name, example_input=case.inputs, **changes)
        assert all(p.is_meta for p in result.parameters()), (name, kind)
        found, sizes = ({k: v.shape for k, v in weights(m).items()} for m in (result, real))
        assert found == sizes, (name, kind)


def test_the_zoo_is_small_and_each_kind_is_tried():
    assert len(ZOO) > 70
    cases = [case_of(name) for name in NAMES]
    assert all(sum(p.numel() for p in case.model.parameters()) < 10_000 for case in cases)
    tried = Counter(kind for case in cases for _, kind, _ in case.pairs)
    assert len(tried) == 12 and min(tried.values()) >= 2
