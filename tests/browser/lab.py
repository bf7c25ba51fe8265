"""A real JupyterLab in headless Chromium: run a notebook, move its sliders, look at its pictures.

    with Lab(folder) as lab:
        lab.open("02_1_convolution.ipynb")
        lab.run_all()
        before = lab.picture()
        lab.press("ArrowRight")  # on the first slider; returns milliseconds to the new picture
        lab.wait_for_other_picture(before)
        assert not lab.errors

Every method waits for an event in the page or in the kernel; the time limits are safety nets.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.server import ROOT, Server

__all__ = ["ROOT", "Lab", "says", "show_code", "why_not", "write_notebook"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LIMIT, RUN_LIMIT = 120, 300  # seconds until a wait fails, and until running a notebook fails

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

# Records when a key went down, and when a picture of an output was next painted: the promise
# `next()` resolves to that time. A frame is painted after the callbacks of requestAnimationFrame,
# so a message that one of them sends arrives just after the paint. The promise `quiet()` resolves
# when no output of a cell has changed for a fifth of a second.
_PROBE = r"""(() => {
  const probe = window.courseProbe = {keydown: 0, watched: 'img', waiting: [], changed: 0};
  probe.next = seconds => new Promise(resolve => {
    probe.waiting.push(resolve);
    setTimeout(() => resolve(null), 1000 * seconds);
  });
  probe.quiet = () => new Promise(resolve => {
    const check = () => {
      const rest = 200 - (performance.now() - probe.changed);
      rest > 0 ? setTimeout(check, rest) : resolve();
    };
    requestAnimationFrame(() => requestAnimationFrame(check));
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
      const element = change.target.closest ? change.target : change.target.parentElement;
      if (element?.closest('.jp-OutputArea')) probe.changed = performance.now();
      if (change.type === 'attributes') look(change.target);
      for (const node of change.addedNodes)
        if (node.nodeType === 1) [node, ...node.querySelectorAll('img')].forEach(look);
    }
  }).observe(document, {subtree: true, childList: true, characterData: true, attributes: true,
                        attributeFilter: ['src']});
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
# A picture that changes while it is decoded is looked at again.
_DIFFERS = f"([image, before]) => ({_PIXELS})(image).then(now => now !== before, () => false)"

# Runs in the page; `notebook` is the one in front.
_FRONT = "(() => { const app = window.jupyterapp; return app && app.shell.currentWidget; })()"


def why_not() -> str:
    """Return why no browser test can run here; "" if they can."""
    if CHROMIUM is None:
        return "Chromium is not installed (Debian: apt-get install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"Playwright for Python cannot be imported ({error})"
    return ""


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with one code cell for each source."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["kernelspec"] = kernel
    nbformat.write(notebook, path)


def says(panel, text: str) -> None:
    """Wait until the status of a panel has this text."""
    panel.get_by_role("status").filter(has_text=text).wait_for()


def show_code(panel, words: str) -> None:
    """Check that a panel shows its code, with these words, on request."""
    code = panel.locator(".course-code")
    assert not code.is_visible()
    panel.get_by_role("button", name="Show me the code").click()
    code.filter(has_text=words).wait_for()
    panel.get_by_role("button", name="Hide the code").click()
    code.wait_for(state="hidden")


class Lab:
    """One JupyterLab server and one browser page on it; a context manager that ends both.

    Args:
        root: the folder that the file browser shows; notebooks are opened relative to it.
        size: width and height of the page in pixels.

    Attributes:
        page: Playwright's page, for what is not covered here.
        errors: texts of all console errors and uncaught exceptions of the page so far.

    Raises:
        RuntimeError: the server ended at once, or did not answer; with the end of its log.
    """

    def __init__(self, root: str | Path, *, size: tuple[int, int] = (1280, 900)):
        from playwright.sync_api import sync_playwright

        self.errors: list[str] = []
        self._server = Server(Path(root).resolve())
        self._playwright = self._browser = None
        try:
            self._server.wait()
            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(_FLAGS)
            )
            viewport = {"width": size[0], "height": size[1]}
            self.page = self._browser.new_page(viewport=viewport)
            self.page.set_default_timeout(1000 * LIMIT)
            self.page.add_init_script(_PROBE)
            self.page.on("console", self._on_console)
            self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        except BaseException:
            self.close()
            raise

    # Opening and running ----------------------------------------------------------------------

    def open(self, notebook: str | None = None) -> None:
        """Open a notebook, by its path below the root, and wait for its kernel.

        Without a name: open what JupyterLab opens first by itself.
        """
        start = f"{self._server.url}/?token={self._server.token}"
        if notebook is not None:
            address = f"{self._server.url}/lab/tree/{notebook}"
            start = f"{address}?reset&token={self._server.token}"
        self.page.goto(start)
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self._until("front.sessionContext.session?.kernel?.status === 'idle'")

    def open_again(self, notebook: str):
        """Save the notebook, open it in a second page with the same kernel, and return the page."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        page = self._browser.new_page()
        page.set_default_timeout(1000 * LIMIT)
        page.goto(f"{self._server.url}/lab/tree/{notebook}?reset&token={self._server.token}")
        return page

    def restart(self) -> None:
        """Restart the kernel, as JupyterLab's menu does."""
        self.page.evaluate(f"{_FRONT}.sessionContext.session.kernel.restart()")

    def run_all(self) -> None:
        """Run all cells and wait until the last one has finished."""
        self.page.evaluate(
            """() => { window.courseRan = false;
            jupyterapp.commands.execute('notebook:run-all-cells')
              .finally(() => { window.courseRan = true; }); }"""
        )
        self._until("window.courseRan", RUN_LIMIT)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until the kernel is idle, no cell is marked as running, and the page is settled."""
        self._until(
            """front.sessionContext.session.kernel.status === 'idle' &&
            [...document.querySelectorAll('.jp-InputPrompt')]
            .every(prompt => !prompt.textContent.includes('*'))""",
            RUN_LIMIT,
        )
        self.settle()

    def settle(self) -> None:
        """Wait until the kernel has handled all messages of the page, and the page its answers."""
        self.kernel("0")
        self.page.evaluate("courseProbe.quiet()")

    def kernel(self, expression: str) -> Any:
        """Return the value, as JSON, of a Python expression in the notebook's kernel."""
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
        """Return Playwright's locator of the slider handles inside the element `within`."""
        return self.page.locator(f"{within} >> .noUi-handle")

    def slider_value(self, within: str) -> float:
        """Return the value of the first slider, as a screen reader reads it."""
        return float(self.sliders(within).first.get_attribute("aria-valuenow"))

    def press(
        self, *keys: str, within: str = ".jp-OutputArea", watched: str = "img"
    ) -> list[float | None]:
        """Press keys on the first slider, one after the other, each after the former's picture.

        Args:
            keys: "ArrowRight", "ArrowLeft", "PageUp", "Home", "End", ...
            within: Playwright's selector of what to look in, e.g. `.course-panel >> nth=1`.
            watched: CSS selector of the pictures that count as an answer.

        Returns:
            For each key, milliseconds from the press to the new picture on the screen, or None.
        """
        handle = self.sliders(within).first
        handle.scroll_into_view_if_needed()
        handle.focus()
        self.page.evaluate("watched => { courseProbe.watched = watched; }", watched)
        times = []
        for key in keys:
            self.page.evaluate("s => { window.courseNext = courseProbe.next(s); }", LIMIT)
            self.page.keyboard.press(key)
            times.append(
                self.page.evaluate("courseNext.then(t => t === null ? t : t - courseProbe.keydown)")
            )
            self.settle()
        return times

    def drag(self, within: str) -> None:
        """Drag the first slider's handle with the mouse to the right end of its track."""
        handle = self.sliders(within).first
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        track = handle.locator("xpath=ancestor::*[contains(@class,'noUi-base')]").bounding_box()
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(track["x"] + track["width"], y, steps=20)
        self.page.mouse.up()
        self.wait_idle()

    # What the page shows ----------------------------------------------------------------------

    def pictures(self, within: str = ".jp-OutputArea"):
        """Return Playwright's locator of the pictures in the outputs and in the panels."""
        return self.page.locator(f"{within} >> img")

    def picture(self, within: str = ".jp-OutputArea") -> str:
        """Return a hash of the first picture's pixels; equal pictures have equal hashes."""
        return self.pictures(within).first.evaluate(_PIXELS)

    def wait_for_other_picture(self, before: str, within: str = ".jp-OutputArea") -> None:
        """Wait until the hash of the first picture is not `before` any more."""
        image = self.pictures(within).first.element_handle()
        self.page.wait_for_function(_DIFFERS, arg=[image, before])

    def failed_cells(self) -> list[str]:
        """Return the errors that the page shows in cells, as text."""
        outputs = self.page.locator('[data-mime-type="application/vnd.jupyter.error"]')
        return [output.inner_text() for output in outputs.all()]

    # Inside -----------------------------------------------------------------------------------

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, the server and its kernels."""
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
        self._server.close()

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _until(self, condition: str, timeout: float = LIMIT) -> None:
        self.page.wait_for_function(
            f"() => {{ const front = {_FRONT}; return front && ({condition}); }}",
            timeout=timeout * 1000,
            polling=50,
        )
