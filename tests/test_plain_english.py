"""The check of the English: what it finds, what it leaves alone, and where it says it is."""

from __future__ import annotations

import json

from tests import plain_english

GOOD = '''"""Rooms whose names are told apart."""

def size():
    """Return the size. There is no limit; it is no longer than before, for a picture of 8 x 8."""
'''
BAD = '''"""A module."""

def size():
    """What the size is."""
    # It is no number, and so as
    # to be safe it is drawn anew.
'''


def test_it_finds_old_turns_with_their_lines(tmp_path, capsys):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(GOOD)
    bad.write_text(BAD)
    found = [(line, words) for line, words, _ in plain_english.find(bad)]
    assert found == [(4, "What"), (5, "is no number"), (5, "so as to"), (6, "anew")]
    assert plain_english.main([str(good)]) == 0 and capsys.readouterr().out == ""
    assert plain_english.main([str(tmp_path)]) == 1
    assert f'{bad}:5: "is no number": "is not a ..."' in capsys.readouterr().out


def test_it_reads_the_cells_of_a_notebook(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = [{"id": "a", "source": ["Fine.\n"]}, {"id": "b", "source": ["It hangs\n", "on this."]}]
    path.write_text(json.dumps({"cells": cells}, indent=1))
    [(line, words, _)] = plain_english.find(path)
    assert words == "hangs on" and '"id": "b"' in path.read_text().splitlines()[line - 1]
