"""Everything that the notebooks of the course call.

Each module holds one idea and can be used without a notebook; only `course_utils.widgets` knows
ipywidgets. Importing this package imports none of them.
"""

from __future__ import annotations

__version__ = "0.1.0"
