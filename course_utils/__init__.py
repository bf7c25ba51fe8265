"""The package behind the notebooks: rooms (subpackages), one for each kind of task.

Every room can be used without a notebook; only `course_utils.widgets` imports ipywidgets. Importing
this package imports none of them.
"""

from __future__ import annotations

__version__ = "0.1.0"
