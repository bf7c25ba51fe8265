from __future__ import annotations

import numpy as np
import pytest
import torch

from course_utils.core import (
    CourseError,
    OutOfMemory,
    free_memory,
    is_out_of_memory,
    memory_in_words,
    require_memory,
)
from course_utils.core import memory as module

TOO_MUCH = 2**60


def test_free_memory_is_what_an_allocation_can_have():
    assert 2**20 < free_memory() < 2**50
    require_memory(2**20, "A megabyte", "no advice")


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    for name, content in [
        ("memory.max", "3000"),
        ("memory.current", "1000"),
        ("memory.stat", "inactive_file 50\n"),
        ("memory/memory.limit_in_bytes", "9000"),
        ("memory/memory.usage_in_bytes", "1000"),
        ("memory/memory.stat", "cache 7\ntotal_inactive_file 5"),
    ]:
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    found = set(module._free_of_container())
    assert found <= {2050, 8005}
    assert not found or free_memory() == min(found)


def test_a_wish_is_judged_before_the_work():
    with pytest.raises(OutOfMemory, match=r"The net needs about 4 TB .*, but .* are free: take"):
        require_memory(4e12, "The net", "take less")
    require_memory(TOO_MUCH, "The net", "take less", "meta")  # takes no memory


@pytest.mark.parametrize(
    "fails",
    [
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: torch.empty(TOO_MUCH, TOO_MUCH, TOO_MUCH),
        lambda: np.empty(TOO_MUCH, dtype=np.uint8),
        lambda: bytearray(TOO_MUCH),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_the_allocators_speak_in_one_sentence(fails):
    with pytest.raises(OutOfMemory) as caught, memory_in_words("take less"):
        fails()
    text = str(caught.value)
    assert text.startswith("There is not enough memory") and text.endswith(": take less.")
    assert len(text) < 100 and isinstance(caught.value, CourseError)


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match="sizes") as caught, memory_in_words("take less"):
        raise RuntimeError("sizes do not match")
    assert not is_out_of_memory(caught.value)
