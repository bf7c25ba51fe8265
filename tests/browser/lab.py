"""A real JupyterLab in headless Chromium: run a notebook, move its sliders, look at its pictures.

    with Lab(folder) as lab:
        lab.open("02_1_convolution.ipynb")
        lab.run_all()
        before = lab.picture(0)
        lab.press(0, "ArrowRight")  # on the first slider; gives milliseconds to the new picture
        assert lab.picture(0) != before
        assert not lab.errors

The server gets a profile of its own, so neither the user's settings nor their kernels play a part.
"""

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
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

_FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root otherwise, as in most containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
# All cells are in the page even when out of view, so that sliders can be counted from the top.
_WHOLE_PAGE = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
_DARK = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}

# Notes when a key went down, and when a picture of an output was next painted: the promise `next()`
# gives that time. A frame is painted after the callbacks of requestAnimationFrame, so a message
# that one of them sends arrives just after the paint.
_PROBE = r"""(() => {
  const probe = window.courseProbe = {keydown: 0, watched: 'img', waiting: []};
  probe.next = seconds => new Promise(resolve => {
    probe.waiting.push(resolve);
    setTimeout(() => resolve(null), 1000 * seconds);
  });
  const painted = () => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => probe.waiting.splice(0).forEach(f => f(performance.now()));
    channel.port2.postMessage(0);
  });
  const look = image => {
    if (image.tagName !== 'IMG' || !image.src || !image.closest('.jp-OutputArea')) return;
    if (!image.matches(probe.watched)) return;
    image.decode().catch(() => 0).then(() => image.isConnected && painted());
  };
  window.addEventListener('keydown', event => { probe.keydown = event.timeStamp; }, true);
  new MutationObserver(changes => {
    for (const change of changes) {
      if (change.type === 'attributes') look(change.target);
      for (const node of change.addedNodes)
        if (node.nodeType === 1) [node, ...node.querySelectorAll('img')].forEach(look);
    }
  }).observe(document,
             {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
})();"""

# The address of a picture changes with every update, so its pixels are compared.
_PIXELS = """async image => {
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', pixels));
  return Array.from(hash.slice(0, 8), byte => byte.toString(16).padStart(2, '0')).join('');
}"""

# Runs in the page; `notebook` is the one in front.
_FRONT = "(() => { const app = window.jupyterapp; return app && app.shell.currentWidget; })()"


def why_not() -> str:
    """Why no browser test can run here; "" if they can."""
    if CHROMIUM is None:
        return "Chromium is not installed (Debian: apt-get install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"Playwright for Python cannot be imported ({error})"
    return ""


class Lab:
    """One JupyterLab server and one browser page on it. A context manager: leaving it ends both.

    Args:
        root: the folder that the file browser shows; the notebooks are opened relative to it.
        dark: JupyterLab's dark theme.
        size: width and height of the page in pixels.
        environment: further variables for the server and its kernels.

    Attributes:
        page: Playwright's page, for what is not covered here.
        errors: texts of all console errors and uncaught exceptions of the page so far.

    Raises:
        RuntimeError: the server ended at once, or did not answer; with the end of its log.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        dark: bool = False,
        size: tuple[int, int] = (1280, 900),
        environment: Mapping[str, str] | None = None,
    ):
        from playwright.sync_api import sync_playwright

        self.errors: list[str] = []
        self._profile = Path(tempfile.mkdtemp(prefix="course-lab-"))
        self._token = secrets.token_hex(16)
        self._port = _free_port()
        self._write_settings(_WHOLE_PAGE | (_DARK if dark else {}))
        self._server = self._start_server(Path(root).resolve(), environment or {})
        self._playwright = self._browser = None
        try:
            self._wait_for_server()
            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(_FLAGS)
            )
            width, height = size
            self.page = self._browser.new_page(viewport={"width": width, "height": height})
            self.page.add_init_script(_PROBE)
            self.page.on("console", self._on_console)
            self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        except BaseException:
            self.close()
            raise

    # Opening and running ----------------------------------------------------------------------

    def open(self, notebook: str | None = None, timeout: float = 90) -> None:
        """Open a notebook, by its path below the root, and wait for its kernel.

        Without a name: what JupyterLab opens first by itself.
        """
        path = "" if notebook is None else f"/tree/{notebook}"
        reset = "" if notebook is None else "reset&"
        start = f"{self._url}/lab{path}?{reset}token={self._token}"
        if notebook is None:
            start = f"{self._url}/?token={self._token}"
        self.page.goto(start)
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=timeout * 1000)
        self._until("front.sessionContext.session?.kernel?.status === 'idle'", timeout)

    def run_all(self, timeout: float = 300) -> None:
        """Run all cells and wait until the last one has finished."""
        self.page.evaluate(
            """() => { window.courseRan = false;
            jupyterapp.commands.execute('notebook:run-all-cells')
              .finally(() => { window.courseRan = true; }); }"""
        )
        self._until("window.courseRan", timeout)
        self.wait_idle(timeout)

    def wait_idle(self, timeout: float = 300) -> None:
        """Wait until the kernel rests and no cell is marked as running, and the page settles."""
        self._until(
            """front.sessionContext.session.kernel.status === 'idle' &&
            [...document.querySelectorAll('.jp-InputPrompt')]
            .every(prompt => !prompt.textContent.includes('*'))""",
            timeout,
        )
        self.page.wait_for_timeout(300)

    def kernel(self, expression: str) -> Any:
        """The value of a Python expression in the notebook's kernel; it must fit into JSON."""
        reply = self.page.evaluate(
            """async code => {
              const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const request = {code: '', silent: true, user_expressions: {value: code}};
              const reply = await kernel.requestExecute(request).done;
              return reply.content.user_expressions.value; }""",
            f"__import__('json').dumps({expression}).encode().hex()",
        )
        if reply["status"] != "ok":
            raise RuntimeError(f"{reply['ename']}: {reply['evalue']}")
        return json.loads(bytes.fromhex(reply["data"]["text/plain"].strip("'")))

    # Sliders ----------------------------------------------------------------------------------

    def sliders(self, within: str = ".jp-OutputArea"):
        """Playwright's locator of the slider handles inside the element that `within` names."""
        return self.page.locator(f"{within} >> .noUi-handle")

    def slider_value(self, n: int, within: str = ".jp-OutputArea") -> float:
        """Where the n-th slider stands, as a screen reader hears it."""
        return float(self.sliders(within).nth(n).get_attribute("aria-valuenow"))

    def press(
        self,
        n: int,
        *keys: str,
        within: str = ".jp-OutputArea",
        watched: str = "img",
        settle: float = 0.15,
        timeout: float = 10,
    ) -> list[float | None]:
        """Press keys on the n-th slider, one after the other, each after the former's picture.

        Args:
            n: position of the slider in there, from 0.
            keys: "ArrowRight", "ArrowLeft", "PageUp", "Home", "End", ...
            within: Playwright's selector of what to look in, e.g. `.course-panel >> nth=1`.
            watched: CSS selector of the pictures that count as an answer.
            settle: seconds to wait after each picture.
            timeout: seconds to wait for each picture before giving None.

        Returns:
            For each key, milliseconds from the press to the new picture on the screen, or None.
        """
        handle = self.sliders(within).nth(n)
        handle.scroll_into_view_if_needed()
        handle.focus()
        self.page.evaluate("watched => { courseProbe.watched = watched; }", watched)
        times = []
        for key in keys:
            self.page.evaluate("s => { window.courseNext = courseProbe.next(s); }", timeout)
            self.page.keyboard.press(key)
            times.append(
                self.page.evaluate("courseNext.then(t => t === null ? t : t - courseProbe.keydown)")
            )
            self.page.wait_for_timeout(1000 * settle)
        return times

    def drag(
        self,
        n: int,
        target: float,
        *,
        within: str = ".jp-OutputArea",
        seconds: float = 0.5,
        steps: int = 20,
    ) -> None:
        """Drag the n-th slider's handle with the mouse along its track: to 0 (left end) .. 1."""
        handle = self.sliders(within).nth(n)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        track = handle.locator("xpath=ancestor::*[contains(@class,'noUi-base')]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        goal = track["x"] + target * track["width"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            self.page.mouse.move(x + (goal - x) * step / steps, y)
            self.page.wait_for_timeout(1000 * seconds / steps)
        self.page.mouse.up()
        self.wait_idle()

    # What is to be seen -----------------------------------------------------------------------

    def pictures(self, within: str = ".jp-OutputArea"):
        """Playwright's locator of the pictures in the outputs, static ones and those of panels."""
        return self.page.locator(f"{within} >> img")

    def picture(self, n: int = 0, within: str = ".jp-OutputArea") -> str:
        """A hash of the pixels of the n-th picture: two pictures look alike if theirs are equal."""
        return self.pictures(within).nth(n).evaluate(_PIXELS)

    def changed_picture(
        self, before: str, n: int = 0, within: str = ".jp-OutputArea", timeout: float = 10
    ) -> bool:
        """Whether the n-th picture comes to differ from `before` within `timeout` seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.picture(n, within) != before:
                return True
            self.page.wait_for_timeout(50)
        return False

    def failed_cells(self) -> list[str]:
        """What the page shows of errors in cells, as text."""
        outputs = self.page.locator('[data-mime-type="application/vnd.jupyter.error"]')
        return [output.inner_text() for output in outputs.all()]

    def screenshot(self, path: str | Path, selector: str | None = None) -> None:
        """Write a PNG of the page, or of the first element that a CSS selector names."""
        shown = self.page if selector is None else self.page.locator(selector).first
        shown.screenshot(path=str(path))

    # Inside -----------------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, the server and its kernels, and remove the profile."""
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
        try:
            self._request("/api/shutdown", method="POST")
            self._server.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            if self._server.poll() is None:
                os.killpg(self._server.pid, signal.SIGTERM)
                self._server.wait(15)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _until(self, condition: str, timeout: float) -> None:
        self.page.wait_for_function(
            f"() => {{ const front = {_FRONT}; return front && ({condition}); }}",
            timeout=timeout * 1000,
            polling=50,
        )

    def _write_settings(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        for name, values in settings.items():
            package, plugin = name.split(":")
            path = self._profile / "settings" / package / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def _start_server(self, root: Path, environment: Mapping[str, str]) -> subprocess.Popen:
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser"),
            f"--config={ROOT / 'jupyter_lab_config.py'}",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self._port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={root}",
            f"--IdentityProvider.token={self._token}",
            "--LabApp.expose_app_in_browser=True",
        ]
        with open(self._profile / "server.log", "wb") as log:
            return subprocess.Popen(
                command,
                env=os.environ
                | {name: str(self._profile / place) for name, place in own.items()}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for_server(self, timeout: float = 90) -> None:
        end = time.monotonic() + timeout
        while self._server.poll() is None and time.monotonic() < end:
            try:
                self._request("/api/status")
                return
            except OSError:
                time.sleep(0.2)
        log = (self._profile / "server.log").read_text(errors="replace")
        raise RuntimeError(f"JupyterLab did not start; the end of its log:\n{log[-2000:]}")

    def _request(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            self._url + path, method=method, headers={"Authorization": f"token {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
