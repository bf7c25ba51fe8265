"""Work in a copy of this process, which may lose its rights or be killed."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def in_another_process(work: Callable[[], None]) -> int:
    """Call `work` in a copy of this process; return 0 if it ended well, -9 if it was killed."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def as_nobody(work: Callable[[], None]) -> int:
    """Call `work` in a copy of this process, by a user who may not enter pytest's folders."""

    def with_fewer_rights() -> None:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        work()

    return in_another_process(with_fewer_rights)
