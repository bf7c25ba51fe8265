from __future__ import annotations

import importlib
import inspect
import pickle
import pydoc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

# Two of its modules cannot be used: one has a fault, one lacks the name that it should have.
INIT = """'A room.'
from course_utils.core.lazy import export_lazily
__all__ = export_lazily(
    __name__,
    {"bake": "bake", "parts.oven": "HOT Oven", "broken": "crumbs", "gone": "nothing"},
    whole="tools",
)
"""
FILES = {
    "bake.py": "calls = 0\ndef bake():\n    return 'bread'\n",
    "parts/__init__.py": "",
    "parts/oven.py": "HOT = 250\nclass Oven:\n    pass\n",
    "broken.py": "None.crumbs\n",
    "gone.py": "",
    "tools.py": "knife = 1\n",
}


@pytest.fixture
def room(tmp_path, monkeypatch):
    """The room `bakery`, freshly imported, of which `tmp_path` holds the files."""
    for name, content in {"__init__.py": INIT, **FILES}.items():
        path = tmp_path / "bakery" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("bakery")
    for name in [name for name in sys.modules if name.partition(".")[0] == "bakery"]:
        del sys.modules[name]


def test_a_name_imports_its_own_module_only(room):
    assert "bakery.bake" not in sys.modules
    from bakery import bake

    assert bake() == "bread" and bake is room.bake
    assert "bakery.bake" in sys.modules and "bakery.parts.oven" not in sys.modules
    assert room.HOT == 250
    assert pickle.loads(pickle.dumps(bake)) is bake
    assert type(pickle.loads(pickle.dumps(room.Oven()))) is room.Oven


def test_a_function_is_not_hidden_by_its_module(room):
    module = importlib.import_module("bakery.bake")
    assert inspect.ismodule(module) and room.bake is module.bake
    importlib.reload(module)
    assert inspect.isfunction(room.bake)


def test_the_room_lists_its_names_and_the_modules_that_are_public_as_a_whole(room):
    names = ["HOT", "Oven", "bake", "crumbs", "nothing", "tools"]
    assert room.__all__ == sorted(names)
    assert {*names, "__doc__"} <= set(dir(room))
    assert {"bake", "HOT"} <= {name for name, _ in inspect.getmembers(type(room))}
    from bakery import tools

    assert tools is room.tools is sys.modules["bakery.tools"] and tools.knife == 1


def test_a_star_import_and_help_read_all_names(tmp_path, room):
    whole_room = INIT.replace(', "broken": "crumbs", "gone": "nothing"', "")
    (tmp_path / "bakery" / "__init__.py").write_text(whole_room)
    importlib.reload(room)
    names: dict = {}
    exec("from bakery import *", names)
    assert {"HOT", "Oven", "bake", "tools"} <= set(names)
    text = pydoc.plain(pydoc.render_doc(room))
    assert "A room." in text and "bake()" in text and "class Oven" in text


def test_a_missing_name_is_said_in_pythons_own_words(room):
    with pytest.raises(AttributeError, match=r"^module 'bakery' has no attribute 'cake'$"):
        _ = room.cake
    with pytest.raises(ImportError, match=r"^cannot import name 'cake' from 'bakery'"):
        from bakery import cake  # noqa: F401
    with pytest.raises(ImportError, match="nothing of bakery"):
        _ = room.nothing
    assert not hasattr(room, "cake")
    # A fault in a module is not taken for a missing name.
    with pytest.raises(ImportError, match=r"bakery\.broken.*'NoneType'"):
        _ = room.crumbs


def test_a_test_can_replace_a_name_and_put_it_back(room, monkeypatch):
    with monkeypatch.context() as patch, mock.patch("bakery.HOT", 0):
        patch.setattr(room, "bake", lambda: "cake")
        assert room.bake() == "cake" and room.HOT == 0
    assert room.bake() == "bread" and room.HOT == 250


def test_a_reload_takes_new_values(tmp_path, room):
    assert room.HOT == 250
    (tmp_path / "bakery" / "parts" / "oven.py").write_text("HOT = 1000\n")
    importlib.reload(importlib.import_module("bakery.parts.oven"))
    assert room.HOT == 250, "as after `from module import name`"
    assert importlib.reload(room).HOT == 1000


def test_threads_that_ask_at_once_get_the_same_object(tmp_path, room):
    slow = "import threading\nassert threading.Event().wait(0.05) is False\n"
    (tmp_path / "bakery" / "parts" / "oven.py").write_text(slow + "class Oven:\n    pass\n")
    together = threading.Barrier(8)

    def ask(_) -> type:
        together.wait(60)
        return room.Oven

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1
