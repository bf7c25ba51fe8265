"""The style sheet of the panels, and a script for names and for the connection to Python.

The sliders of ipywidgets have no accessible name and its pictures have no alternative text, and
Python cannot reach those attributes. A short script adds them when the style sheet has loaded.

A panel without a kernel would look as if it worked. JupyterLab marks such widgets with a class, so
the style sheet alone can show a sentence. Where JupyterLab does not know it, the script finds out,
see `connection`.

On a page that forbids scripts the panel still works, without these names and this question.
"""

from __future__ import annotations

import html

# In a wide cell one column of controls is beside the picture, in a narrow cell several columns are
# above it. Their widths, and the gap between columns, in CSS pixels:
SIDE_WIDTH, COLUMN_WIDTH, GAP = 300, 264, 18

_RULES = f"""
.course-panel {{ padding: 4px 0; color: var(--jp-ui-font-color1, #222); overflow: visible; }}
.course-title {{ font-size: 15px; font-weight: 600; }}
.course-panel .course-body {{ display: flex; flex-flow: row wrap; align-items: flex-start;
  gap: 6px {GAP}px; overflow: visible; }}
.course-panel .course-controls {{ display: grid; align-content: start; align-items: center;
  grid-template-columns: repeat(auto-fill, minmax({COLUMN_WIDTH}px, 1fr)); gap: 0 {GAP}px;
  min-width: min({SIDE_WIDTH}px, 100%); max-width: 100%; overflow: visible; }}
.course-controls > * {{ width: auto; max-width: 480px; min-width: 0; margin: 1px 2px;
  box-sizing: border-box; }}
.course-controls .widget-label, .course-controls .widget-readout {{
  color: var(--jp-ui-font-color1, #222); }}
.course-controls .widget-label {{ text-align: left; }}
.course-controls > .widget-play {{ margin-left: 114px; max-width: 110px; }}
.course-controls .widget-readout {{ min-width: 46px; }}
.course-controls .noUi-handle:focus-visible, .course-controls button:focus-visible {{
  outline: 2px solid var(--jp-brand-color1, #0173b2); outline-offset: 2px; }}
.course-controls .widget-hbox > .widget-button {{ padding: 0 7px; }}
.course-controls > .course-kernel {{ grid-row: span 5; align-self: start; overflow: visible; }}
.course-kernel .widget-text {{ margin: 1px; }}
.course-kernel .widget-text input[type=number] {{ text-align: center; padding: 0; font-size: 12px;
  appearance: textfield; }}
.course-kernel input::-webkit-inner-spin-button {{ display: none; }}
.course-view {{ max-width: 100%; min-width: 0; overflow: visible; }}
.course-stage {{ position: relative; overflow: visible; align-items: flex-start; }}
.course-picture {{ image-rendering: pixelated; box-sizing: content-box; height: auto;
  max-width: calc(100% - 6px); margin: 2px; border-radius: 4px;
  border: 1px solid var(--jp-border-color2, #ddd); }}
@media (max-width: 1150px) {{ .course-picture {{ image-rendering: auto; }} }}
.course-stale {{ opacity: 0.3; }}
.course-panel .course-overlay {{ position: absolute; left: 3px; top: 3px; margin: 0;
  height: auto; pointer-events: none; overflow: visible; }}
.course-overlay .widget-html-content {{ overflow: visible; }}
.course-message {{ position: absolute; top: 22px; left: 22px; right: 22px; max-width: 560px;
  padding: 6px 12px; border-radius: 4px; border: 1px solid #de8f05; border-left-width: 5px;
  background: var(--jp-layout-color1, #fff); box-shadow: 0 2px 10px rgba(0, 0, 0, 0.25); }}
.course-message .course-nearest {{ width: auto; margin: 4px 0; align-self: flex-start; }}
.course-error .widget-html-content {{ white-space: pre-line; line-height: 1.45; }}
.course-summary .widget-html-content {{ line-height: 1.45; min-height: 2.9em; }}
.course-code .widget-html-content {{ line-height: 1.45; user-select: all;
  font-family: var(--jp-code-font-family, monospace); font-size: 13px; }}
.course-panel .jupyter-widgets-disconnected::before,
.course-panel.jupyter-widgets-disconnected::before {{ display: none; }}
.course-connection {{ order: -1; overflow: visible; }}
.course-connection .course-lost, .course-connection .course-silent {{ display: none;
  max-width: 660px; padding: 6px 12px; border-radius: 4px; border: 1px solid #de8f05;
  border-left-width: 5px; }}
.course-connection .widget-html-content {{ white-space: normal; line-height: 1.45; }}
.course-panel.jupyter-widgets-disconnected .course-lost,
.course-no-answer:not(.jupyter-widgets-disconnected) .course-silent {{ display: block; }}
.course-panel.jupyter-widgets-disconnected .course-body, .course-no-answer .course-body {{
  opacity: 0.4; }}
.course-panel .course-lines .widget-html-content {{ white-space: pre; overflow-x: auto; }}
"""

# The live regions must exist before their text changes, or a screen reader says nothing. And in
# command mode JupyterLab takes keys from a list: arrows leave the cell, an "r" makes it a raw cell.
_SCRIPT = """
const panel = this.closest('.course-panel');
const random = () => Math.random().toString(36).slice(2);
const id = (e, name) => e.id = e.id || 'course-' + name + '-' + random();
const set = (e, values) => { for (const name in values)
  if (e && e.getAttribute(name) !== values[name]) e.setAttribute(name, values[name]); };
const each = (query, change) => panel.querySelectorAll(query).forEach(change);
const name_all = () => {
  set(panel, {role: 'group', 'aria-label': panel.querySelector('.course-title')?.textContent});
  each('.course-summary .widget-html-content', e => set(e, {role: 'status'}));
  each(':is(.course-error, .course-lost, .course-silent) .widget-html-content',
    e => set(e, {role: 'alert'}));
  each('img.course-picture', e => {
    const text = panel.querySelector('.course-summary .widget-html-content');
    e.alt = panel.getAttribute('aria-label') + ', picture';
    if (text) set(e, {'aria-describedby': id(text, 'summary')}); });
  each('.widget-slider', slider => {
    const label = slider.querySelector('.widget-label');
    const value = slider.querySelector('.widget-readout');
    slider.querySelectorAll('[role=slider]').forEach(handle => {
      set(handle, {'aria-labelledby': id(label, 'label')});
      if (value) set(handle, {'aria-describedby': id(value, 'value')}); });
    if (value) set(value, {role: 'textbox', 'aria-labelledby': label.id}); });
  each('.course-kernel', grid => {
    const fields = [...grid.querySelectorAll('input')], size = Math.sqrt(fields.length);
    fields.forEach((field, k) => set(field, {
      'aria-label': `kernel, row ${Math.floor(k / size)}, column ${k % size}`})); });
  each('.widget-play button', button => {
    const kind = ['play', 'pause', 'stop', 'retweet'].find(k => button.querySelector('.fa-' + k));
    const text = {play: 'Play', pause: 'Pause', stop: 'Back to the start', retweet: 'Repeat'};
    set(button, {'aria-label': text[kind], title: text[kind]}); });
  each('select', list => set(list, {'data-lm-suppress-shortcuts': 'true'}));
  each('.course-controls .widget-label[title=null]', label => label.removeAttribute('title'));
};
const answer = () => panel.querySelector('.course-connection .widget-label')?.textContent;
let asked = -1e9, waiting = false, timer = null;
const ask = () => {
  const button = panel.querySelector('.course-connection button');
  if (!button || button.closest('.jupyter-widgets-disconnected') || waiting) return;
  const early = asked + PAUSE - performance.now();
  clearTimeout(timer);
  if (early > 0) { timer = setTimeout(ask, early); return; }
  [asked, waiting] = [performance.now(), true];
  timer = setTimeout(() => { waiting = false; panel.classList.add('course-no-answer'); }, WAIT);
  button.click(); };
const listen = () => {
  if (answer() === heard) return;
  heard = answer();
  clearTimeout(timer);
  waiting = false;
  panel.classList.remove('course-no-answer'); };
let heard = answer();
for (const event of ['pointerenter', 'pointerdown', 'keydown', 'focusin'])
  panel.addEventListener(event, ask);
name_all();
new MutationObserver(() => { name_all(); listen(); })
  .observe(panel, {childList: true, subtree: true, characterData: true});
"""

PATIENCE = 5.0
"""Seconds without an answer of Python until a panel says so."""
PAUSE = 2.0
"""Seconds between two questions. One that comes earlier is asked later, because the kernel may have
been restarted just after the answer to the one before."""


def heading(title: str) -> str:
    """Return the HTML of a panel's heading, with the style sheet and the script."""
    script = _SCRIPT.replace("WAIT", f"{1000 * PATIENCE:g}").replace("PAUSE", f"{1000 * PAUSE:g}")
    script = " ".join(script.split("\n"))
    return (
        f'<style onload="{html.escape(script, quote=True)}">{_RULES}</style>'
        f'<span class="course-title">{html.escape(title)}</span>'
    )
