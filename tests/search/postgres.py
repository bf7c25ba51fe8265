"""A PostgreSQL server of one's own, from Debian's packages, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

USER = "course"


def binaries() -> Path | None:
    """The newest installed server's folder with initdb and pg_ctl; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


def _version(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdecimal() else 0


def why_not() -> str:
    """Why no server can be started here; "" if one can."""
    if binaries() is None:
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
        data = str(self.folder / "data")
        command = [*as_user, str(binaries() / program), "-D", data, *arguments]
        # Not captured: the server would keep the pipe, and the test would wait for its end.
        subprocess.run(
            command,
            check=True,
            timeout=60,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
