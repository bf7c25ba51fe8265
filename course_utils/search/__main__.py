"""`python -m course_utils.search`: a search on many workers, from the command line."""

from __future__ import annotations

import sys

from course_utils.search.cluster.command import main

if __name__ == "__main__":
    sys.exit(main())
