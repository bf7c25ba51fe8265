"""One network in the one-click lab: its chain of edits, and all that was computed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from course_utils.conv import ConvEditor
from course_utils.data import Dataset
from course_utils.widgets.one_click.bench import Bench, bench_for
from course_utils.widgets.one_click.look import Edited, Look, Trained, changes_of, edit
from course_utils.widgets.one_click.networks import Network

_KEPT = 4  # edited networks, so that what was looked at a moment ago is there at once

Edits = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
"""A chain of edits: (layer, changes) of each. It tells which network was trained."""


class Session:
    """What the lab knows of one network.

    Args:
        network: to edit.
        data: whose pictures it is shown.

    Attributes:
        first: the bench with the network as it was given.
        trainings: copies that were trained, by the edits that had led to their network.

    Raises:
        CourseError: the network has no `nn.Conv2d`, no numbers, or accepts no usual picture.
    """

    def __init__(self, network: Network, data: Dataset):
        self._network = network
        self.first = bench_for(network.make(), data)
        self._editor = ConvEditor(self.first.model, self.first.example)
        self._benches = {self.first.model: self.first}
        self._edited: dict[Edits, Edited] = {}
        self.trainings: dict[Edits, Trained] = {}

    @property
    def bench(self) -> Bench:
        """The network after all applied edits."""
        model = self._editor.model
        if model not in self._benches:
            self._benches[model] = Bench(model, self.first.held_out)
        return self._benches[model]

    @property
    def can_undo(self) -> bool:
        return self._editor.can_undo

    @property
    def can_redo(self) -> bool:
        return self._editor.can_redo

    def look(self, layer: str, wanted: Mapping[str, Any], index: int = 0) -> Look:
        """The network with one layer as wanted, beside the network without that edit.

        Args:
            layer: name of the convolution.
            wanted: a value for each of `CHANGEABLE`.
            index: of the held-out picture whose maps are to be shown.

        Raises:
            ImpossibleSetting: no layer has such settings.
            EditError: the network cannot follow.
        """
        bench = self.bench
        changes = changes_of(bench.convs[layer], wanted)
        chain = self._chain()
        both = chain, chain + (_frozen(layer, changes),) * bool(changes)
        return Look(
            before=bench,
            layer=layer,
            edited=self._edit(both[1], bench, layer, changes) if changes else None,
            index=min(index, len(bench.held_out) - 1),
            first=self.first if chain else None,
            trained=tuple(self._accuracy(edits) for edits in both),
        )

    def changes(self, layer: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the wanted settings that the layer has not."""
        return changes_of(self.bench.convs[layer], wanted)

    def apply(self, look: Look) -> None:
        """Let the next edit start from the edited network of a look."""
        self._editor.edit(look.layer, **look.report.changes)

    def undo(self) -> None:
        """Take the last applied edit back."""
        self._editor.undo()

    def redo(self) -> None:
        """Apply again what was taken back last."""
        self._editor.redo()

    def to_train(self, look: Look) -> dict[Edits, Bench]:
        """The networks of a look that no trained copy is known of, the edited one first."""
        chain = self._chain()
        found = {chain: look.before}
        if look.report is not None:
            found = {(*chain, _frozen(look.layer, look.report.changes)): look.after} | found
        return {edits: bench for edits, bench in found.items() if edits not in self.trainings}

    def trained(self, look: Look) -> Trained | None:
        """The trained copy of the edited network of a look."""
        edits = self._chain()
        if look.report is not None:
            edits = (*edits, _frozen(look.layer, look.report.changes))
        return self.trainings.get(edits)

    def code(self, look: Look) -> str:
        """Python that makes the edited network of a look, applied edits included."""
        imports, example, chain = (
            "import torch\n\nfrom course_utils.conv import edit_conv\n",
            "",
            "",
        )
        if self.can_undo:
            imports, _, rest = self._editor.code().partition("\nexample_input = ")
            example, _, chain = rest.partition("\n")
        example = (
            example or f"torch.zeros{tuple(self.first.example.shape)}  # only its shape counts"
        )
        if self._network.imports.startswith("from"):
            imports += f"{self._network.imports}\n"
        elif self._network.imports:
            imports = imports.replace("\n", f"\n{self._network.imports}\n", 1)
        if look.report is not None:
            arguments = [f'"{look.layer}"', "example_input=example_input"]
            arguments += [f"{name}={_text(value)}" for name, value in look.report.changes.items()]
            chain += f"model = edit_conv(model, {', '.join(arguments)})\n"
        start = self._network.line or "# model: the network that you gave the lab"
        return f"{imports}\n{start}\nexample_input = {example}\n{chain}"

    def _chain(self) -> Edits:
        return tuple(_frozen(report.name, report.changes) for report in self._editor.reports)

    def _accuracy(self, edits: Edits) -> float | None:
        trained = self.trainings.get(edits)
        return None if trained is None else trained.accuracy

    def _edit(self, edits: Edits, bench: Bench, layer: str, changes: dict[str, Any]) -> Edited:
        if edits not in self._edited:
            self._edited[edits] = edit(bench, layer, changes)
            while len(self._edited) > _KEPT:
                del self._edited[next(iter(self._edited))]
        return self._edited[edits]


def _frozen(layer: str, changes: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return layer, tuple(changes.items())


def _text(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
