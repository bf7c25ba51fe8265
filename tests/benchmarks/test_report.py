"""The arithmetic of the benchmarks' table."""

from __future__ import annotations

import pytest

from tests.benchmarks.report import percentile, verdict


@pytest.mark.parametrize(
    ("share", "expected"), [(0.95, 19), (0.5, 10), (1.0, 20), (0.951, 20), (0.0, 1)]
)
def test_percentile_of_one_to_twenty(share, expected):
    assert percentile(range(1, 21), share) == expected


def test_verdict_names_what_is_over_its_limit(capsys):
    assert verdict("import", "2 s", [("ratio", 1.1, 1.2)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("ratio 1.1 (limit 1.2)   OK")
    assert verdict("slider", "2 s", [("ratio", 1.4, 1.3), ("p95", 90, 100)]) == 1
    assert capsys.readouterr().out.rstrip().endswith("over limit: ratio")
