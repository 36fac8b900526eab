"""The summary of ``qts check``: one line for each check, below it what was found, and the times of the hooks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from qts.cli.console import Screen
from qts.wording import counted
from qts.workbench.check.findings import CheckResult, Outcome, StrategyReport

_WORDS = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "skipped"}


def print_check(screen: Screen, report: StrategyReport) -> None:
    """Print the report of a check."""
    _line(screen, f"check of {report.strategy} on {report.source}")
    for check in report.checks:
        _print_one(screen, check)
    if report.times:
        table = Table(box=None, pad_edge=False)
        table.add_column("hook", no_wrap=True)
        for name in ("calls", "median µs", "99 % µs", "longest µs"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("longest at", no_wrap=True)
        for one in report.times:
            table.add_row(
                one.hook, f"{one.calls:,}", f"{one.median_us:,.1f}", f"{one.p99_us:,.1f}", f"{one.longest_us:,.1f}",
                one.longest_at,
            )  # fmt: skip
        screen.print(table)
    runs = counted(report.runs, "run")
    _line(screen, f"{runs} in {report.wall_s:.1f} s: {_verdict(report.checks)}")


def _verdict(checks: Sequence[CheckResult]) -> str:
    """Return which checks failed and which could not be made, in words."""
    failed, skipped = (
        ", ".join(one.name for one in checks if one.outcome is outcome)
        for outcome in (Outcome.FAILED, Outcome.SKIPPED)
    )
    if not failed and not skipped:
        return "all passed"
    verdict = f"failed: {failed}" if failed else "passed"
    return f"{verdict}; skipped: {skipped}" if skipped else verdict


def _print_one(screen: Screen, check: CheckResult) -> None:
    _line(screen, f"  {_WORDS[check.outcome]:<8} {check.name:<11} {check.text}")
    for found in check.findings:
        mark = "-" if found.fails else "note:"
        _line(screen, f"           {mark} {found.text}")


def _line(screen: Screen, text: str) -> None:
    screen.print(text, markup=False, highlight=False, soft_wrap=True)
