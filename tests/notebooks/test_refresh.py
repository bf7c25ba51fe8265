"""The tool that runs the notebooks: its pure parts, and one real run of a small notebook."""

from __future__ import annotations

import re
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from tests.notebooks import refresh

SANITIZE = refresh.ROOT / "tests" / "notebooks" / "sanitize.cfg"

WIDGET = "application/vnd.jupyter.widget-view+json"


def with_outputs(*outputs, tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    cell = new_code_cell("f()", outputs=list(outputs), execution_count=1, metadata=metadata)
    return new_notebook(cells=[cell])


def with_data(**data):
    kinds = {"png": "image/png", "text": "text/plain", "html": "text/html", "widget": WIDGET}
    data = {kinds[kind]: value for kind, value in data.items()}
    return with_outputs(new_output("display_data", data=data))


def test_find_takes_the_beginning_of_a_name(tmp_path):
    for name in ("01_a", "02_1_b", "02_2_c"):
        (tmp_path / f"{name}.ipynb").touch()
    assert [p.stem for p in refresh.find([], tmp_path)] == ["01_a", "02_1_b", "02_2_c"]
    assert [p.stem for p in refresh.find(["02", "01"], tmp_path)] == ["01_a", "02_1_b", "02_2_c"]
    assert [p.stem for p in refresh.find(["notebooks/02_1_b.ipynb"], tmp_path)] == ["02_1_b"]
    with pytest.raises(FileNotFoundError, match="03"):
        refresh.find(["01", "03"], tmp_path)


@pytest.mark.parametrize("name", ["77", "02_9", "O'Brien", "NOTEBOOK"])
def test_a_notebook_that_is_not_there_is_answered_in_words(name, capsys):
    assert refresh.main(["00", name]) == 2
    printed, said = capsys.readouterr()
    assert printed == "" and f"begins with {name!r}. There are: 00_start_here, 01_" in said


def test_tidy_drops_what_changes_and_keeps_what_is_meant():
    notebook = with_outputs(tags=["raises-exception"])
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "mine", "display_name": "My own", "language": "python"},
            "language_info": {"name": "python", "version": "3.11.7"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
        }
    )
    notebook.cells[0].metadata["execution"] = {"iopub.status.busy": "2020-01-01T00:00:00Z"}
    notebook.cells[0].metadata["collapsed"] = False
    notebook.cells[0].metadata["jupyter"] = {"outputs_hidden": True, "source_hidden": False}
    tidied = refresh.tidy(notebook)
    assert tidied.metadata == {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    folded = {"outputs_hidden": True}
    assert tidied.cells[0].metadata == {"tags": ["raises-exception"], "jupyter": folded}
    assert "widgets" in notebook.metadata, "the original stays as it was"
    assert refresh.tidy(tidied) == tidied


@pytest.mark.parametrize("name", ["outputs_hidden", "source_hidden"])
def test_tidy_keeps_what_is_folded(name):
    notebook = with_data(text="the answer")
    notebook.cells[0].metadata["jupyter"] = {name: True}
    assert refresh.tidy(notebook).cells[0].metadata["jupyter"] == {name: True}


def test_tidy_keeps_the_picture_of_a_panel_and_drops_its_dead_widget():
    notebook = with_data(widget={"model_id": "a1"}, png="iVBO", text="Panel: 16 maps")
    cell = refresh.tidy(notebook).cells[0]
    assert cell.outputs[0].data == {"image/png": "iVBO", "text/plain": "Panel: 16 maps"}


def test_tidy_lets_no_progress_bar_stand_still():
    bar = "training:   0%|          | 0/640 [00:00<?, ?step/s]"
    cell = refresh.tidy(with_data(widget={"model_id": "a1"}, text=bar)).cells[0]
    assert cell.outputs[0].data == {"text/plain": "training: 640 steps"}
    (regex, replacement), *_ = get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8"))
    assert re.sub(regex, replacement, bar) == "training: 640 steps", "nbval sees the same"


def test_tidy_cuts_the_inside_of_libraries_out_of_a_traceback():
    frames = [
        "\x1b[31m-----\x1b[39m",
        "\x1b[31mRuntimeError\x1b[39m  Traceback (most recent call last)",
        "\x1b[36mCell\x1b[39m In[3], line 2",
        "\x1b[36mFile \x1b[39m/home/me/lib/torch/nn/modules/module.py:1776, in forward",
        "\x1b[31mRuntimeError\x1b[39m: sizes do not match",
    ]
    error = new_output("error", ename="RuntimeError", evalue="sizes do not match", traceback=frames)
    cell = refresh.tidy(with_outputs(error)).cells[0]
    assert cell.outputs[0].traceback == [*frames[:3], frames[4]]


def test_merge_streams_joins_neighbours_of_one_name_only():
    def stream(name, text):
        return new_output("stream", name=name, text=text)

    picture = new_output("display_data", data={"image/png": "iVBO"})
    outputs = [stream("stdout", "a"), stream("stdout", "b"), stream("stderr", "c")]
    outputs += [picture, stream("stdout", "d"), stream("stdout", "e")]
    merged = refresh.merge_streams(outputs)
    assert [output.get("text") for output in merged] == ["ab", "c", None, "de"]
    assert outputs[0].text == "a", "the original stays as it was"


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])


@pytest.mark.parametrize(
    ("notebook", "expected"),
    [
        (with_outputs(new_output("stream", name="stdout", text="fine\n")), None),
        (with_outputs(new_output("stream", name="stderr", text="Warning: x")), "Warning: x"),
        (with_outputs(ERROR), "ValueError: no"),
        (with_outputs(ERROR, tags=["raises-exception"]), None),
        (with_outputs(tags=["raises-exception"]), "raised nothing"),
        (with_data(text="<F at 0x7f12abcd9876>"), "memory address"),
        (with_data(html="<i>/home/me/x</i>"), "/home/me"),
        (with_data(png="at 0x123456"), None),
    ],
)
def test_problems(notebook, expected):
    found = refresh.problems(notebook, private=["/home/me"])
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def test_refresh_writes_once_and_then_changes_nothing(tmp_path):
    small = tmp_path / "small.ipynb"
    cells = [
        new_markdown_cell("# Small"),
        new_code_cell(f"import sys\nprint('a')\nprint('b')\nsys.executable == {sys.executable!r}"),
        new_code_cell("import json\njson.loads('{')", metadata={"tags": ["raises-exception"]}),
    ]
    nbformat.write(new_notebook(cells=cells), small)
    assert refresh.refresh(small) == (True, [])
    first = small.read_text()
    notebook = nbformat.read(small, as_version=4)
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, 2]
    stream, result = notebook.cells[1].outputs
    assert stream.text == "a\nb\n"
    assert result.data["text/plain"] == "True", "the kernel is the Python that ran the tool"
    error = notebook.cells[2].outputs[0]
    assert error.ename == "JSONDecodeError"
    assert "json.loads" in refresh.output_text(error), "the reader's own line stays"
    assert "decoder.py" not in refresh.output_text(error)
    assert refresh.refresh(small) == (False, [])
    assert small.read_text() == first


@pytest.mark.parametrize("source", ["1 / 0", "import sys\nprint('oops', file=sys.stderr)"])
def test_refresh_leaves_a_faulty_notebook_as_it_was(tmp_path, source):
    path = tmp_path / "faulty.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    before = path.read_text()
    changed, found = refresh.refresh(path)
    assert not changed
    assert len(found) == 1 and ("division" in found[0] or "oops" in found[0])
    assert path.read_text() == before
