"""The last line of the summary of a check."""

from __future__ import annotations

import io

import pytest

from qts.cli.check_summary import print_check
from qts.cli.console import Screen
from qts.workbench.check.findings import Finding, StrategyReport, judged, skipped

PASSED = judged("seed", "the same intents with another seed", [])
FAILED = judged("look-ahead", "20 cuts", [Finding(text="it sees the next row")])
SKIPPED = skipped("warm-up", "it declares no bars")


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ((PASSED,), "all passed"),
        ((PASSED, SKIPPED), "passed; skipped: warm-up"),
        ((FAILED, PASSED), "failed: look-ahead"),
        ((FAILED, SKIPPED), "failed: look-ahead; skipped: warm-up"),
    ],
)
def test_what_was_skipped_is_not_said_to_have_passed(checks: tuple[object, ...], said: str) -> None:
    text = io.StringIO()
    report = StrategyReport(
        strategy="mine.py:Mine",
        source="005930.csv",
        rows=40,
        intents=1,
        fills=1,
        passed=FAILED not in checks,
        checks=checks,  # type: ignore[arg-type]
        times=(),
        budget_us=200.0,
        runs=3,
        estimated_s=1.0,
        wall_s=1.25,
    )
    print_check(Screen(width=80, file=text), report)
    assert text.getvalue().splitlines()[-1] == f"3 runs in 1.2 s: {said}"
