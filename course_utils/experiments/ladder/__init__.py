"""The ladder: from the article's first network to the top, one step at a time (§5.1).

    python -m course_utils.experiments.ladder --data fashion_mnist_small --seeds 0 1 2

`rungs` says what each rung is, `climb` trains one, `ladder_file` stores the results.
"""

from __future__ import annotations

COMMAND = f"python -m {__name__}"
