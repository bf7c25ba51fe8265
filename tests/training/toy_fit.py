"""A `fit` that takes a moment."""

from __future__ import annotations

from functools import partial

from course_utils.training import fit
from tests.toys import toy_data

DATA = toy_data()
STEPS = 4  # of one epoch: 60 pictures, 16 at a time
quick = partial(fit, data=DATA, batch_size=16, precision="float32", progress=False)
