"""The page of beliefs names every way in which the double can behave, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from tests.doubles.kis.faults import CALLS, LISTS, NOTICES
from tests.doubles.kis.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "kis-beliefs.md"
NO_BELIEFS = {"matching", "auctions", "always_open"}
"""Settings that say nothing about KIS but how a test wants its market."""
ELSEWHERE = {"access.issued", "cut_at"} | CALLS.keys() | LISTS | NOTICES


def test_every_doubtful_belief_is_a_setting_that_exists() -> None:
    rows = [line.split("|") for line in PAGE.read_text("utf-8").splitlines() if line.count("|") == 4]
    named = {name for row in rows for name in re.findall(r"(?<!probe )`([a-z_.]+)`", row[3])}
    settings = {field.name for field in fields(Settings)}
    assert named - ELSEWHERE == settings - NO_BELIEFS


def test_every_belief_has_a_mark_of_its_evidence() -> None:
    text = PAGE.read_text("utf-8").partition("\n## Access")[2]
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 4]
    beliefs = [row for row in rows if row[1].strip() not in ("belief", "---")]
    unmarked = [row[1] for row in beliefs if not re.search(r"official|several|one|inferred|recorded", row[2])]
    assert (unmarked, len(beliefs) > 90) == ([], True)
