"""Public names of a room, imported when they are first used.

A notebook imports from a room (`from course_utils.training import fit`), and importing one name
must not cost the imports of all the others. A function may have the name of its module (`fit` in
`training/fit.py`): Python sets a module as an attribute of its package as soon as anything imports
it, and the function would be hidden. That is why the names are data descriptors on the class of the
package: for them, what the import system sets on the package itself does not count.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def public_names(room: str, modules: dict[str, str], whole: str = "") -> list[str]:
    """Let the package `room` export names of its modules; return them, for `__all__`.

    Args:
        room: name of the package, so `__name__`.
        modules: module, relative to the package, to its public names, separated by spaces.
        whole: modules that are used as a whole (`figure.style`), separated by spaces.
    """
    where = {name: module for module, names in modules.items() for name in names.split()}

    class Room(ModuleType):
        def __dir__(self) -> list[str]:
            return sorted({*self.__dict__, *where, *whole.split()})

    for name, module in where.items():
        setattr(Room, name, _Public(f"{room}.{module}", name))
    sys.modules[room].__class__ = Room
    return sorted([*where, *whole.split()])


class _Public:
    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __get__(self, room: ModuleType, _kind: type) -> Any:
        if self.name not in room.__dict__:
            room.__dict__[self.name] = getattr(import_module(self.module), self.name)
        return room.__dict__[self.name]

    def __set__(self, room: ModuleType, value: Any) -> None:
        if not isinstance(value, ModuleType):  # the import system's; a test may replace a function
            room.__dict__[self.name] = value

    def __delete__(self, room: ModuleType) -> None:
        room.__dict__.pop(self.name, None)
