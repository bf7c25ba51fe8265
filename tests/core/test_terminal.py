"""Printing where the terminal has only ASCII."""

from __future__ import annotations

import io
import sys

import pytest

from course_utils.core.terminal import print_anywhere

TEXT = "5 × 5 − 3·2 → ≥ 4 … ²ü卷"


@pytest.mark.parametrize(
    ("encoding", "errors", "shown"),
    [
        ("ascii", "strict", "5 x 5 - 3*2 -> >= 4 ... 2u?"),
        ("ascii", "surrogateescape", "5 x 5 - 3*2 -> >= 4 ... 2u?"),
        ("cp1252", "strict", "5 × 5 - 3·2 -> >= 4 … ²ü?"),
        ("utf-8", "strict", TEXT),
        ("ascii", "backslashreplace", TEXT.encode("ascii", "backslashreplace").decode()),
    ],
)
def test_what_a_terminal_lacks_is_written_simpler(monkeypatch, encoding, errors, shown):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding, errors, newline="\n")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_anywhere()
    print(TEXT, flush=True)
    assert terminal.buffer.getvalue().decode(encoding) == f"{shown}\n"
    assert terminal.errors == errors or encoding != "utf-8"


@pytest.mark.parametrize("stream", [None, io.StringIO(), object()])
def test_other_streams_are_left_alone(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    print_anywhere()


def test_a_room_prints_under_a_locale_without_utf_8(run_python, monkeypatch):
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONIOENCODING", "ascii")):
        monkeypatch.setenv(name, value)
    assert run_python(r"import course_utils.data; print('3\xd73')") == "3x3\n"
