"""The texts of the improve panel: summary, status, tables, and Python code."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from course_utils.widgets.improve_panel.controls import TRAINING

if TYPE_CHECKING:
    from course_utils.search import Budget, Improvement, SideBySide, Tried


def summary(found: Improvement, chosen: Tried) -> str:
    """Return one line about the picture."""
    tried = tuple(found.tried)
    failed = sum(one.accuracy is None for one in tried)
    parts = [f"{len(tried)} candidate{'s' * (len(tried) != 1)}"]
    parts[0] += f", {failed} of them without a result" if failed else ""
    parts.append(f"as given: {_at(found.start)}")
    if found.best.number:
        parts.append(f"the best, number {found.best.number}: {_at(found.best)}")
    if chosen.number not in (0, found.best.number):
        parts.append(f"chosen, number {chosen.number}: {_at(chosen)}")
    front = ", ".join(str(one.number) for one in found.pareto_front())
    if front:
        parts.append(f"on the Pareto front: {front}")
    return f"Validation accuracy against multiply-adds: {'; '.join(parts)}."


def search_ended(found: Improvement | None, why_stopped: str) -> str:
    """Return the status after a search; `found` is None if it was stopped too early."""
    if found is None:
        return f"{why_stopped} before anything was found."
    if found.stopped:
        return f"{why_stopped}: the best so far is kept."
    if why := found.why_no_result():
        return f"Done. {why}"
    return f"Done: {len(found.tried)} candidates. Choose a point, and train it."


def _at(one: Tried) -> str:
    failed = one.accuracy is None
    return "no result" if failed else f"{one.accuracy:.1%} at {one.multiply_adds:,}"


def search_code(varied: Sequence[str], budget: Budget, seed: int) -> str:
    """Return Python code of the search, for a notebook that has `model` and `data`."""
    layers = tuple(name for name in varied if name != TRAINING)
    amount = f'"{budget}"' if budget.seconds is not None else budget.trials
    return f"""import torch

from course_utils.search import improve, space_for

example_input = torch.zeros(2, *data.image_shape)
space = space_for(model, example_input, {layers}, training={TRAINING in varied})
found = improve(model, data, {amount}, space=space, seed={seed})
"""


def values_table(found: Improvement, one: Tried) -> str:
    """Return HTML tables of the changes of a candidate: layers and training, side by side."""
    from course_utils.search import layer_changes, training_changes

    if not one.number:
        return "<div>Chosen: the network as it was given.</div>"
    title = f"Candidate {one.number} (round {one.round}, epochs: {one.epochs})"
    tables = []
    layers = layer_changes(found, one)
    if layers:
        settings = list(dict.fromkeys(name for values in layers.values() for name in values))
        rows = []
        for layer, values in layers.items():
            cells = (_change(*values[name]) if name in values else "–" for name in settings)
            rows.append([_value(layer), *cells])
        tables.append(_table(f"{title}: its layers", ["", *settings], rows))
    training = training_changes(one.params)
    if training:
        rows = [
            [name, _value(a), _value(b) if a == b else f"<b>{_value(b)}</b>"]
            for name, (a, b) in training.items()
        ]
        caption = "its training" if layers else f"{title}: its training"
        tables.append(_table(caption, ["", "article", "candidate"], rows))
    if one.accuracy is None:
        tables.insert(0, f"<div>No result: {html.escape(one.reason)}</div>")
    return "".join(tables)


def trained_table(trainings: SideBySide) -> str:
    """Return an HTML table of the networks that were trained side by side; "" for none."""
    if not trainings.trained:
        return ""
    tested = trainings.tested
    heads = ["", "epochs", "validation accuracy", "parameters", "multiply-adds"]
    lines = []
    for key, row in trainings.trained.items():
        one = row.one
        name = f"candidate {one.number}" if one.number else "as given, article’s training"
        line = [name, str(row.epochs), f"{row.accuracy:.1%} ({row.interval})"]
        line += [f"{row.parameters:,}", f"{one.multiply_adds:,}"]
        if tested:
            test = tested.get(key)
            line.append(f"{test.accuracy:.1%} ({test.interval()})" if test else "–")
        lines.append(line)
    if tested:
        heads.append("test accuracy")
    return _table("Trained side by side (95 % intervals)", heads, lines)


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; the first cell of a row is its heading, and all cells are HTML."""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{one}</td>" for one in row[1:])}</tr>'
        for row in rows
    )
    top = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _change(before: Any, after: Any) -> str:
    return _value(after) if before == after else f"<b>{_value(before)} → {_value(after)}</b>"


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else html.escape(str(value))
