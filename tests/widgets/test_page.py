from __future__ import annotations

from html.parser import HTMLParser

from course_utils.widgets.page import heading


def read(title: str) -> tuple[list[str], str, str]:
    """Return the tags of a heading, the script of its style sheet, and the visible text."""
    parser, tags, script, text = HTMLParser(), [], [], []

    def start(tag, attributes):
        tags.append(tag)
        script.extend(value for name, value in attributes if name == "onload")

    parser.handle_starttag = start
    parser.handle_data = lambda data: tags[-1] == "style" or text.append(data)
    parser.feed(heading(title))
    return tags, *script, "".join(text)


def test_a_title_is_text_and_nothing_else():
    title = "<b>Kernels</b> & 'more' \"quotes\""
    tags, _, text = read(title)
    assert tags == ["style", "span"] and text == title


def test_the_script_survives_its_place_in_an_attribute():
    _, script, _ = read("Lab")
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
