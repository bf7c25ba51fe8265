"""Text for terminals that do not have all letters of the course."""

from __future__ import annotations

import codecs
import sys
import unicodedata

_SIGNS = {"×": "x", "−": "-", "–": "-", "—": "-", "·": "*", "→": "->", "≤": "<=", "≥": ">="}
_HANDLER = "course_utils.plain"


def print_anywhere() -> None:
    """Let `print` write simpler signs where the terminal has no ×, − or →, not raise an error.

    So it is under a locale without UTF-8, and on Windows where the output goes to a file. Terminals
    that have all signs do not change.
    """
    codecs.register_error(_HANDLER, _simpler)
    for stream in (sys.stdout, sys.stderr):
        try:
            "".join(_SIGNS).encode(stream.encoding)
        except UnicodeEncodeError:
            if stream.errors in ("strict", "surrogateescape"):
                stream.reconfigure(errors=_HANDLER)
        except (AttributeError, TypeError, LookupError):  # no terminal, or one of a notebook
            continue


def _simpler(error: UnicodeError) -> tuple[str, int]:
    """Return signs of ASCII for those that cannot be encoded; "?" if there are none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = (
        _SIGNS.get(one) or _without_accents(one) for one in error.object[error.start : error.end]
    )
    return "".join(signs), error.end


def _without_accents(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"
