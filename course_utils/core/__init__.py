"""The ground floor of the package: errors, devices and threads, seeds, files, and numbers as text.

Used by every notebook; imports no other room.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily
from course_utils.core.terminal import print_anywhere

print_anywhere()  # all rooms import this one

__all__ = export_lazily(
    __name__,
    {
        "errors": "CourseError error_line expect_error is_number whole_number",
        "files": (
            "all_finite atomic_write check_writable file_exists FileError load_checkpoint "
            "load_weights plain_state reason_of save_checkpoint"
        ),
        "layout": "plain_layout unsafe_with_channels_last UnsafeCalls",
        "memory": (
            "free_memory is_out_of_memory memory_in_words memory_sentence OutOfMemory "
            "require_memory"
        ),
        "runtime": (
            "check_network device_of evaluation_mode garbage_later kept_modes kind_of one_thread "
            "pick_device use_threads"
        ),
        "seeds": (
            "draw_default_weights mixed_seed private_random_numbers seed_layers seeded splitmix64"
        ),
        "text": "decimal_text MINUS number_text power_of_ten product_text shape_text sum_text",
    },
)
