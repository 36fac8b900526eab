"""The findings of a check as values: one line for people, fields for programs."""

from __future__ import annotations

from enum import Enum

import msgspec


class Outcome(str, Enum):
    """The outcome of one check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check found.

    ``text`` is the whole in one line. ``row`` counts the rows of the input from 1, ``moment`` is the time in the
    market's zone, ``intent`` what the strategy wanted in the run over all data, ``instead`` what it wanted in the
    other run ("": nothing), ``place`` the line of the strategy's file (FILE:LINE). Each is "" or None where it does
    not apply. ``fails`` False: worth knowing, and no failure.
    """

    text: str
    fails: bool = True
    row: int | None = None
    moment: str = ""
    intent: str = ""
    instead: str = ""
    place: str = ""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one check; ``text`` says what was compared, or why nothing was."""

    name: str
    outcome: Outcome
    text: str
    findings: tuple[Finding, ...] = ()


class HookTime(msgspec.Struct, frozen=True, kw_only=True):
    """The time of one hook's calls, in µs; ``longest_at`` is the session's time in the longest ("": unknown)."""

    hook: str
    calls: int
    median_us: float
    p99_us: float
    longest_us: float
    longest_at: str


class StrategyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``qts check``: the object of ``--json``, field by field.

    ``estimated_s`` is what the check was expected to take after its first run.
    """

    strategy: str
    source: str
    rows: int
    intents: int
    fills: int
    passed: bool
    checks: tuple[CheckResult, ...]
    times: tuple[HookTime, ...]
    budget_us: float
    runs: int
    estimated_s: float
    wall_s: float


def judged(name: str, text: str, findings: list[Finding]) -> CheckResult:
    """Return the result of a check that was made: failed when a finding fails."""
    outcome = Outcome.FAILED if any(one.fails for one in findings) else Outcome.PASSED
    return CheckResult(name=name, outcome=outcome, text=text, findings=tuple(findings))


def skipped(name: str, why: str) -> CheckResult:
    """Return the result of a check that could not be made."""
    return CheckResult(name=name, outcome=Outcome.SKIPPED, text=why)
