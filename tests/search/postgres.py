"""A PostgreSQL server of one's own, from Debian's packages, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

USER = "course"
# Debian's servers are not on the path; the newest one is taken.
FOLDERS = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
FOUND = sorted(FOLDERS, key=lambda folder: float(folder.parent.name), reverse=True)
PATH = os.pathsep.join([*map(str, FOUND), os.environ["PATH"]])


def why_not() -> str:
    """Return why no server can be started here; "" if one can."""
    if shutil.which("pg_ctl", path=PATH) is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.name != "posix":
        return "the server is started as on Linux"
    if os.geteuid() == 0 and not shutil.which("runuser"):
        return "PostgreSQL does not run as root, and there is no runuser"
    return ""


class Server:
    """One server in a folder of its own; it listens on a socket there and on no port."""

    def __init__(self) -> None:
        # Not pytest's folder: a socket's path may have a hundred letters or so.
        self.folder = Path(tempfile.mkdtemp(prefix="course-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-A", "trust", "-U", USER, "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-h '' -k {self.folder} -F"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it and leave nothing behind."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        # A link to the program would not find its files beside it.
        program = str(Path(shutil.which(program, path=PATH)).resolve())
        command = [*as_user, program, "-D", str(self.folder / "data"), *arguments]
        # Not captured: the server would keep the pipe, and the test would wait for its end.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, timeout=60, cwd="/", **quiet)
