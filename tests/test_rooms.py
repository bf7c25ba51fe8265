"""The rooms of the package: imports run one way, and only through what a room makes public."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_packaging import imported_names

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "course_utils"
# Each room may import those on the lines above its own.
FLOORS = [
    ("core",),
    ("data", "conv"),
    ("models", "metrics"),
    ("training",),
    ("compress", "search", "plots"),
    ("exercises", "experiments"),
    ("widgets",),
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_LINES = 400


# Name below the package -> file; a room's `__init__` has the room's name.
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def room_of(module: str) -> str:
    return module.partition(".")[0]


@cache
def imports(module: str) -> list[tuple[str, str]]:
    """Return (module below the package, name) of all that `module` imports from the package."""
    return list(_imports(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue  # only type checkers read it
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package"
            if node.module == "course_utils":
                yield from ((alias.name, "") for alias in node.names)
            elif node.module.startswith("course_utils."):
                for alias in node.names:
                    yield node.module.removeprefix("course_utils."), alias.name
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("course_utils") for alias in node.names)
        yield from _imports(node)


def test_every_module_stands_in_a_room():
    assert {room_of(module) for module in MODULES} <= FLOOR.keys()


def test_imports_run_one_way():
    wrong = [
        f"{module} imports {room}"
        for module in MODULES
        for room in {room_of(source) for source, _ in imports(module)} - {room_of(module)}
        if FLOOR[room] >= FLOOR[room_of(module)]
    ]
    assert wrong == []


def test_a_room_takes_only_what_another_makes_public():
    wrong = []
    for module in MODULES:
        for source, name in imports(module):
            room = room_of(source)
            if room == room_of(module) or source == "core.lazy" or not name:
                continue
            public = importlib.import_module(f"course_utils.{room}").__all__
            if source != room or name not in public:
                wrong.append(f"{module}: from course_utils.{source} import {name}")
    assert wrong == []


def test_no_circle():
    arrows = defaultdict(set)
    for module in MODULES:
        for source, name in imports(module):
            inner = f"{source}.{name}"
            arrows[module] |= {inner if inner in MODULES else source} - {module}
    left = set(MODULES)
    while free := {module for module in left if not arrows[module] & left}:
        left -= free
    assert left == set()


@pytest.mark.parametrize("room", sorted(room_of(m) for m in MODULES if "." not in m))
def test_a_room_says_what_it_is_for_and_keeps_its_word(room):
    package = importlib.import_module(f"course_utils.{room}")
    assert package.__doc__ and package.__doc__.count("\n") < 15
    assert package.__all__, room
    for name in package.__all__:
        assert hasattr(package, name), f"{room}.{name}"
    assert set(package.__all__) <= set(dir(package))


def test_no_file_name_stands_in_two_rooms():
    rooms = defaultdict(set)
    for module in MODULES:
        rooms[module.rpartition(".")[2]].add(room_of(module))
    twice = {name for name, found in rooms.items() if len(found) > 1} - {"__main__"}
    assert twice <= FLOOR.keys()  # plots/training draws what the room training makes


def test_a_module_is_one_idea():
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert [name for name, count in lines.items() if count > MOST_LINES] == []


def test_only_the_widgets_import_widgets():
    others = {name: path for name, path in MODULES.items() if room_of(name) != "widgets"}
    libraries = {"ipywidgets", "IPython"}
    assert [name for name, path in others.items() if imported_names(path) & libraries] == []
