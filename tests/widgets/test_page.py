from __future__ import annotations

from html.parser import HTMLParser

from course_utils.widgets.page import heading


class Reader(HTMLParser):
    """Collects the tags, the attributes of the style sheet and the visible text."""

    def __init__(self):
        super().__init__()
        self.tags, self.style, self.text = [], {}, ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "style":
            self.style = dict(attrs)

    def handle_data(self, data):
        if self.tags[-1] != "style":
            self.text += data


def read(title: str) -> Reader:
    reader = Reader()
    reader.feed(heading(title))
    return reader


def test_a_title_is_text_and_nothing_else():
    reader = read("<b>Kernels</b> & 'more' \"quotes\"")
    assert reader.tags == ["style", "span"]
    assert reader.text == "<b>Kernels</b> & 'more' \"quotes\""


def test_the_script_survives_its_place_in_an_attribute():
    script = read("Lab").style["onload"]
    assert "aria-labelledby" in script and "new MutationObserver" in script
    assert script.count("{") == script.count("}") and script.count("(") == script.count(")")
    assert "//" not in script, "a comment would swallow the rest of the one line"
    assert "\n" not in script


def test_the_style_sheet_reaches_no_further_than_the_panels():
    sheet = heading("Lab").split("</style>")[0].split(">", 1)[1]
    for rule in sheet.split("}"):
        selectors = rule.split("{")[-2] if rule.count("{") > 1 else rule.split("{")[0]
        for selector in filter(None, (part.strip() for part in selectors.split(","))):
            assert selector.startswith((".course-", "@media")), selector
