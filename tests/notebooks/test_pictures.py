from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_utils.plots.canvas import Canvas
from tests.notebooks import nbval_plugin, pictures, refresh


def png(colour: object = "white", mode: str = "RGB", spot: object = None) -> bytes:
    image = Image.new(mode, (40, 30), colour)
    if spot is not None:
        image.putpixel((7, 7), spot)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def canvas() -> bytes:
    drawn = Canvas(60, 20)
    drawn.text("3", 1, 1)
    return drawn.to_png()


GOOD = png(spot=(0, 0, 0))
TORN = canvas()[:-30]
FLIPPED = GOOD[:45] + bytes([GOOD[45] ^ 1]) + GOOD[46:]
GIF = io.BytesIO()
Image.new("RGB", (4, 4)).save(GIF, "GIF")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (GOOD, ""),
        (canvas(), ""),
        (png(0, "L", spot=1), ""),
        (png((0, 0, 0, 0), "RGBA", spot=(0, 0, 0, 255)), ""),
        (png(), "blank"),
        (png(0, "L"), "blank"),
        (png(3, "P"), "blank"),
        (png((0, 0, 0, 0), "RGBA"), "blank"),
        (b"", "valid"),
        (b"\x89PNG", "valid"),
        (TORN, "valid"),
        (FLIPPED, "valid"),
        (GIF.getvalue(), "valid"),
    ],
)
def test_what_can_be_seen(data, fault):
    assert fault in pictures.fault_of(data) and bool(fault) == bool(pictures.fault_of(data))


def shown(data: bytes | str | None, text: str = "Panel: 16 maps"):
    written = data if isinstance(data, str) else base64.encodebytes(data or b"").decode()
    picture = {} if data is None else {"image/png": written}
    return new_output("display_data", data={"text/plain": text} | picture)


PANEL = """from course_utils.widgets import conv2d_lab as panel_of, schedule_panel
lab = panel_of()
lab"""


@pytest.mark.parametrize(
    ("sources", "outputs", "found"),
    [
        ([PANEL], [shown(GOOD)], []),
        ([PANEL], [shown(None)], ["cell 2: shows a panel"]),
        ([PANEL], [], ["cell 2: shows a panel"]),
        ([PANEL.removesuffix("lab")], [], []),
        ([PANEL, "lab.set(stride=2)"], [shown(GOOD)], []),
        ([PANEL, "lab"], [], ["cell 2: shows a panel", "cell 3: shows a panel"]),
        (["%time 1", PANEL + "\nschedule_panel(seed=1)"], [], ["cell 3: shows a panel"]),
        (["1 + 1"], [shown(GOOD), shown(png())], ["cell 2: a picture is blank"]),
        (["1 + 1"], [shown("no base64")], ["cell 2: a picture is not a valid PNG"]),
    ],
)
def test_the_pictures_of_a_notebook(sources, outputs, found):
    cells = [new_code_cell(source, outputs=outputs) for source in sources]
    lines = pictures.problems([new_markdown_cell("# A"), *cells])
    assert len(lines) == len(found)
    assert all(line.startswith(words) for line, words in zip(lines, found, strict=True))


@pytest.mark.parametrize(
    ("now", "words"),
    [([GOOD], ""), ([png()], "blank"), ([TORN], "valid"), ([None], "0 instead of 1"), ([], "0 in")],
)
def test_nbval_looks_at_the_pictures_of_the_new_run(now, words):
    before = SimpleNamespace(outputs=[shown(GOOD)])
    item = SimpleNamespace(cell=before, test_outputs=[shown(data) for data in now])
    call = nbval_plugin.pytest_runtest_call(item)
    next(call)
    with pytest.raises(pytest.fail.Exception if words else StopIteration, match=words or None):
        call.send("result")


def test_nbval_leaves_other_tests_alone():
    call = nbval_plugin.pytest_runtest_call(SimpleNamespace())
    next(call)
    with pytest.raises(StopIteration):
        call.send(None)


def test_refresh_writes_no_notebook_with_a_blank_picture(tmp_path, monkeypatch):
    path = tmp_path / "blank.ipynb"
    notebook = new_notebook(cells=[new_code_cell("f()", outputs=[shown(png())])])
    path.write_text(before := "{}")
    monkeypatch.setattr(refresh, "execute", lambda *_, **__: notebook)
    monkeypatch.setattr(refresh.nbformat, "reads", lambda *_, **__: notebook)
    changed, found = refresh.refresh(path)
    assert not changed and "blank" in found[0] and path.read_text() == before


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("side", [20, 400])
def test_compact_reduces_large_pictures_in_colour_once(mode, side):
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    output = shown(before := buffer.getvalue())
    cells = [new_code_cell("f()", outputs=[output])]
    pictures.compact(cells)
    after = base64.b64decode(cells[0].outputs[0].data["image/png"])
    smaller = side == 400 and mode != "L"
    assert (len(after) < len(before) / 2) == smaller and (after == before) == (not smaller)
    assert Image.open(io.BytesIO(after)).size == (side, side)
    pictures.compact(cells)
    assert base64.b64decode(cells[0].outputs[0].data["image/png"]) == after


def test_compact_keeps_the_colours_of_a_small_bar_beside_a_large_picture():
    noise = np.random.default_rng(0).integers(0, 60, (400, 400, 3), dtype=np.uint8) + 120
    noise[:9, :180] = np.linspace((0, 80, 150), (255, 255, 255), 180)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    cells = [new_code_cell("f()", outputs=[shown(buffer.getvalue())])]
    pictures.compact(cells)
    png = base64.b64decode(cells[0].outputs[0].data["image/png"])
    bar = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[4, :180]
    assert np.abs(bar - noise[4, :180]).max() < 24 and len(np.unique(bar, axis=0)) > 20
