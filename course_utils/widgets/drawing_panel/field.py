"""A small drawing field: a grey picture that is painted with the mouse, a finger or the keyboard.

ipywidgets has no such widget. A canvas of the page paints, and writes its pixels as text into a
text area that nobody sees; the text area is what Python reads and sets.
"""

from __future__ import annotations

import base64
import binascii
import html
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

_PIXEL = 9  # CSS pixels of one pixel of the drawing
_PAUSE = 80  # milliseconds between two messages to Python while somebody draws

_RULES = """
.course-paint canvas { image-rendering: pixelated; border: 1px solid var(--jp-border-color1, #999);
  touch-action: none; cursor: crosshair; max-width: 100%; display: block; background: #000; }
.course-paint canvas:focus-visible { outline: 3px solid var(--jp-brand-color1, #0173b2); }
.course-paint { max-width: 260px; }
.course-paint label { display: flex; gap: 8px; align-items: center; line-height: 26px; }
.course-paint label > span { flex: 0 0 50px; }
.course-paint input { flex: 1 1 60px; width: 60px; min-width: 0; }
.course-paint output { flex: 0 0 64px; }
.course-controls > .course-drawing { grid-row: span 5; align-self: start; overflow: visible; }
.course-drawing-text { display: none; }
"""

# The text area belongs to another widget, which may appear later than this one.
_SCRIPT = """
const box = this.parentElement, side = SIDE, canvas = box.querySelector('canvas');
const [pen, shade] = box.querySelectorAll('input'), shown = box.querySelectorAll('output');
const context = canvas.getContext('2d'), pixels = new Uint8Array(side * side);
const cursor = {x: side >> 1, y: side >> 1, on: false};
let panel = null, text = null, timer = null, last = null;
const words = () => {
  if (panel) [panel.dataset.brush, panel.dataset.shade] = [pen.value, shade.value];
  shown[0].textContent = pen.value + ' pixels';
  const n = +shade.value; shown[1].textContent = n == 0 ? 'black' : n == 255 ? 'white' : 'grey'; };
const show = () => {
  const image = context.createImageData(side, side);
  pixels.forEach((v, k) => image.data.set([v, v, v, 255], 4 * k));
  if (cursor.on) { const k = cursor.y * side + cursor.x;
    image.data.set(pixels[k] > 127 ? [200, 80, 0, 255] : [255, 160, 40, 255], 4 * k); }
  context.putImageData(image, 0, 0); };
const send = () => { timer = null; if (!box.isConnected) return;
  text.value = btoa(String.fromCharCode(...pixels));
  text.dispatchEvent(new Event('input', {bubbles: true})); };
const later = () => { if (text && timer === null) timer = setTimeout(send, PAUSE); };
const dot = (x, y) => {
  const radius = pen.value / 2, value = +shade.value;
  for (let j = 0; j < side; j++) for (let i = 0; i < side; i++) {
    const far = Math.hypot(i + 0.5 - x, j + 0.5 - y) - radius;
    const part = Math.min(1, Math.max(0, 0.5 - far)), k = j * side + i;
    const mixed = Math.round(part * value + (1 - part) * pixels[k]);
    if (part == 1 || (value > pixels[k] ? mixed > pixels[k] : mixed < pixels[k]))
      pixels[k] = mixed; } };
const place = e => { const box = canvas.getBoundingClientRect();
  return [(e.clientX - box.left) / box.width * side, (e.clientY - box.top) / box.height * side]; };
const line = to => {
  const from = last || to, steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0],
    to[1] - from[1])));
  for (let s = 1; s <= steps; s++)
    dot(from[0] + (to[0] - from[0]) * s / steps, from[1] + (to[1] - from[1]) * s / steps);
  last = to; show(); later(); };
canvas.addEventListener('pointerdown', e => { canvas.setPointerCapture(e.pointerId);
  cursor.on = false; last = null; line(place(e)); e.preventDefault(); canvas.focus(); });
canvas.addEventListener('pointermove', e => { if (last && e.buttons) line(place(e)); });
for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => last = null);
const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
canvas.addEventListener('keydown', e => {
  const move = moves[e.key];
  if (move) { cursor.x = Math.min(side - 1, Math.max(0, cursor.x + move[0]));
    cursor.y = Math.min(side - 1, Math.max(0, cursor.y + move[1])); }
  else if (e.key != ' ') return;
  cursor.on = true; e.preventDefault(); e.stopPropagation();
  if (e.key == ' ' || e.shiftKey) { dot(cursor.x + 0.5, cursor.y + 0.5); later(); }
  show(); });
canvas.addEventListener('blur', () => { cursor.on = false; show(); });
for (const range of [pen, shade]) range.addEventListener('input', words);
const find = () => {
  panel = box.closest('.course-panel');
  text = panel?.querySelector('.course-drawing-text textarea');
  if (!text) { if (box.isConnected) requestAnimationFrame(find); return; }
  if (text.value) pixels.set(Uint8Array.from(atob(text.value), c => c.charCodeAt(0)));
  if (panel.dataset.brush) [pen.value, shade.value] = [panel.dataset.brush, panel.dataset.shade];
  words(); show(); };
words(); show(); requestAnimationFrame(find);
"""


class DrawingField(widgets.VBox):
    """A square grey picture to paint on.

    Mouse or finger: press and move. Keyboard: arrow keys move a cursor, the space bar paints, and
    arrow keys with Shift paint while they move. The brush has a width and a shade; black erases.

    Args:
        side: pixels of a side.

    Attributes:
        value: the picture, uint8 (side, side). It follows what is painted; set it to show another.
    """

    description = "drawing"
    # Any would take None without asking `_picture`.
    value: np.ndarray = traitlets.Instance(object, args=())

    def __init__(self, side: int = 28):
        self._side = side
        self._text = widgets.Textarea(continuous_update=True)
        self._text.add_class("course-drawing-text")
        self._page = widgets.HTML()
        self._shown = 0
        super().__init__([self._page, self._text], value=np.zeros((side, side), dtype=np.uint8))
        self.add_class("course-drawing")
        self._show()
        self._text.observe(lambda _: self._read(), names="value")

    @traitlets.validate("value")
    def _picture(self, proposal: dict[str, Any]) -> np.ndarray:
        picture = np.asarray(proposal["value"])
        if picture.shape == (1, self._side, self._side):
            picture = picture[0]
        if picture.shape != (self._side, self._side) or picture.dtype != np.uint8:
            raise traitlets.TraitError(
                f"a drawing is a uint8 array of {self._side} × {self._side}, not "
                f"{picture.dtype} {picture.shape}"
            )
        picture = picture.copy()
        picture.flags.writeable = False  # a change inside would not be seen
        return picture

    @traitlets.observe("value")
    def _show(self, _change: Any = None) -> None:
        if not hasattr(self, "_page") or self._pixels() == self.value.tobytes():
            return  # it comes from the page, which shows it already
        self._text.value = base64.b64encode(self.value.tobytes()).decode()
        # Another number makes the page run the script again, which reads the text.
        self._shown += 1
        self._page.value = _page(self._side, self._shown)

    def _pixels(self) -> bytes:
        try:
            return base64.b64decode(self._text.value, validate=True)
        except (binascii.Error, ValueError):
            return b""

    def _read(self) -> None:
        pixels = self._pixels()
        if len(pixels) == self._side**2:  # anything else was not written by our script
            self.value = np.frombuffer(pixels, np.uint8).reshape(self._side, self._side)


def _page(side: int, number: int) -> str:
    script = _SCRIPT.replace("SIDE", str(side)).replace("PAUSE", str(_PAUSE))
    script = html.escape(" ".join(script.split("\n")), quote=True)
    name = (
        f"drawing field, {side} by {side} pixels: arrow keys move, the space bar paints, "
        "Shift with an arrow key paints on the way"
    )
    return (
        f'<div class="course-paint" data-number="{number}">'
        f'<canvas width="{side}" height="{side}" tabindex="0" role="application"'
        f' aria-label="{name}" data-lm-suppress-shortcuts="true"'
        f' style="width:{side * _PIXEL}px"></canvas>'
        '<label><span>brush</span><input type="range" min="1" max="9" value="3"><output></output>'
        '</label><label><span>shade</span><input type="range" min="0" max="255" step="51"'
        ' value="204"><output></output></label>'
        f'<style onload="{script}">{_RULES}</style></div>'
    )
