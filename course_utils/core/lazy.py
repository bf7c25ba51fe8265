"""Public names of a room, imported when they are first used.

A notebook imports from a room (`from course_utils.training import fit`), and importing one name
must not cost the imports of all the others.

A function may have the name of its module (`fit` in `training/fit.py`). When anything imports that
module, Python sets it as an attribute of the room, which would hide the function. So the names are
data descriptors on the room's own class: Python calls their `__set__` then, and it ignores the
module.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def export_lazily(room: str, modules: dict[str, str], whole: str = "") -> list[str]:
    """Let a package export names of its modules; return the names, for `__all__`.

    Args:
        room: The package's `__name__`.
        modules: For each module, named relative to the package, its public names with spaces
            between them.
        whole: Modules that are public as a whole (`figure.style`), with spaces between them.
    """
    origins = {name: module for module, names in modules.items() for name in names.split()}

    class Room(ModuleType):
        def __dir__(self) -> list[str]:
            return sorted({*vars(self), *public})

        def __getattr__(self, name: str) -> Any:
            if name in whole.split():
                return import_module(f"{room}.{name}")
            raise AttributeError(f"module {room!r} has no attribute {name!r}")

    public = sorted([*origins, *whole.split()])
    package = sys.modules[room]
    for name, module in origins.items():
        setattr(Room, name, _Public(f"{room}.{module}", name))
        vars(package).pop(name, None)  # left over from before a reload
    package.__class__ = Room
    return public


class _Public:
    """One public name: it keeps its value in the room's `__dict__` after the first use."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __get__(self, room: ModuleType | None, _kind: type) -> Any:
        if room is None:
            return self
        if self.name not in vars(room):
            try:
                value = getattr(import_module(self.module), self.name)
            except AttributeError as error:
                # Python would say that the room has no such name, and hide the real fault.
                raise ImportError(f"{self.name} of {self.module}: {error}") from error
            # Two threads may come here at once: both get the value that was kept first.
            return vars(room).setdefault(self.name, value)
        return vars(room)[self.name]

    def __set__(self, room: ModuleType, value: Any) -> None:
        if not isinstance(value, ModuleType):
            vars(room)[self.name] = value

    def __delete__(self, room: ModuleType) -> None:
        vars(room).pop(self.name, None)
