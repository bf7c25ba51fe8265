"""A JupyterLab server with its own profile: the user's settings and kernels have no effect."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START, END = 180, 60  # seconds: safety nets, also on a busy machine

_TRACKER = "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


class Server:
    """A JupyterLab server on a free port of this machine; its file browser shows `root`."""

    def __init__(self, root: Path) -> None:
        self.token = secrets.token_hex(16)
        self._profile = Path(tempfile.mkdtemp(prefix="course-lab-"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # All cells are in the page even when out of view, so sliders can be counted from the top.
        tracker = self._profile / _TRACKER
        tracker.parent.mkdir(parents=True)
        tracker.write_text(json.dumps({"windowingMode": "none"}))
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser"),
            f"--config={ROOT / 'jupyter_lab_config.py'}",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={root}",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
        ]
        own = {name: str(self._profile / folder) for name, folder in _FOLDERS.items()}
        with open(self._profile / "server.log", "wb") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            RuntimeError: it ended, or did not answer; with the end of its log.
        """
        end = time.monotonic() + START
        while self._process.poll() is None and time.monotonic() < end:
            try:
                self._request("/api/status")
                return
            except OSError:
                time.sleep(0.2)
        log = (self._profile / "server.log").read_text(errors="replace")
        raise RuntimeError(f"JupyterLab did not start; the end of its log:\n{log[-2000:]}")

    def close(self) -> None:
        """End the server and its kernels, and remove the profile."""
        try:
            self._request("/api/shutdown", method="POST")
            self._process.wait(END)
        except (OSError, subprocess.TimeoutExpired):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGTERM)
                self._process.wait(END)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _request(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=END) as answer:
            return answer.read()
