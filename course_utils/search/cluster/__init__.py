"""A search on many workers: the storage, the queue, the worker, the command line.

Used by the appendix of notebook 03.3. These modules import from `course_utils.search`, never the
other way round.
"""

from __future__ import annotations
