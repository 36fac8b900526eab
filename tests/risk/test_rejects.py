"""Rejects: the wait grows, a symbol stops after five in a row, twenty within a minute are a storm."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qts.risk.config import RiskConfig
from qts.risk.rejects import RejectOutcome, Rejects

CONFIG = RiskConfig()
S = 1_000_000_000
PAUSE = 60 * S


def reject(
    rejects: Rejects, number: int, now_ns: int, symbol: str = "A", *, is_exit: bool = False
) -> RejectOutcome:
    outcome = rejects.rejected(symbol, f"o-{number}", f"no {number}", now_ns, CONFIG, is_exit=is_exit)
    assert outcome is not None
    return outcome


def test_each_reject_in_a_row_doubles_the_wait_until_the_symbol_stops() -> None:
    rejects, now = Rejects(), 0
    # 1, 2, 4, 8, 16 seconds
    for number, wait_s in enumerate((1, 2, 4, 8, 16)):
        outcome = reject(rejects, number, now)
        assert outcome == RejectOutcome(stopped=number == 4, storm="")
        assert rejects.wait_of("A", now + wait_s * S - 1, None)
        assert rejects.wait_of("A", now + wait_s * S, None) == ""
        assert bool(rejects.stop_of("A")) == (number == 4)
        now += wait_s * S
    assert rejects.stop_of("A") == "5 orders of A in a row were rejected, the last: no 4"
    assert rejects.stopped == {"A": "no 4"}
    assert not reject(rejects, 5, now).stopped  # it is stopped already
    assert rejects.stop_of("B") == rejects.wait_of("B", now, None) == ""


def test_no_wait_is_longer_than_the_longest() -> None:
    rejects = Rejects()
    for number in range(12):
        reject(rejects, number, 0)
    assert rejects.wait_of("A", 60 * S - 1, None)
    assert rejects.wait_of("A", 60 * S, None) == ""


def test_an_exit_waits_its_pause_after_the_reject_of_an_exit_and_not_for_entries() -> None:
    rejects = Rejects()
    for number in range(5):
        reject(rejects, number, number * S)
    assert rejects.wait_of("A", 5 * S, PAUSE) == ""
    reject(rejects, 5, 6 * S, is_exit=True)
    assert rejects.wait_of("A", 66 * S - 1, PAUSE)
    assert rejects.wait_of("A", 66 * S, PAUSE) == ""


@pytest.mark.parametrize("ends", ["succeeded", "release", "new_day"])
def test_a_stop_ends_with_a_filled_order_an_operator_or_the_next_day(ends: str) -> None:
    rejects = Rejects()
    for number in range(5):
        reject(rejects, number, 0)
    getattr(rejects, ends)(*(() if ends == "new_day" else ("A",)))
    assert rejects.stop_of("A") == rejects.wait_of("A", 0, None) == ""
    assert not reject(rejects, 5, 0).stopped  # the row begins again


def test_twenty_within_a_minute_are_a_storm_wherever_they_come_from() -> None:
    # Given nineteen in a minute and one that comes exactly a minute after the first: none
    rejects = Rejects()
    for number in range(19):
        assert reject(rejects, number, number * 3 * S, f"S{number}").storm == ""
    assert reject(rejects, 19, 60 * S, "S19").storm == ""
    # When one more comes within a minute of the second (3 s)
    outcome = reject(rejects, 20, 62 * S, "S20")
    assert outcome.storm == "20 orders were rejected within 59.0 s"
    # Then the count begins again
    assert all(reject(rejects, 21 + n, 63 * S, f"T{n}").storm == "" for n in range(19))
    assert reject(rejects, 40, 63 * S, "T19").storm


def test_an_order_that_is_told_to_be_rejected_twice_counts_once() -> None:
    rejects = Rejects()
    reject(rejects, 1, 0)
    assert rejects.rejected("A", "o-1", "again", S, CONFIG, is_exit=False) is None
    assert rejects.wait_of("A", S, None) == ""


class Machine(RuleBasedStateMachine):
    """Against a list of everything that ever happened, counted again each time."""

    def __init__(self) -> None:
        super().__init__()
        self.rejects = Rejects()
        self.now = 0
        self.count = 0
        self.rows: dict[str, list[int]] = defaultdict(list)
        self.since_storm: list[int] = []

    @rule(symbol=st.sampled_from("ABC"), after=st.integers(0, 20), is_exit=st.booleans())
    def is_rejected(self, symbol: str, after: int, is_exit: bool) -> None:
        self.now += after * S
        self.count += 1
        outcome = reject(self.rejects, self.count, self.now, symbol, is_exit=is_exit)
        self.rows[symbol].append(self.now)
        self.since_storm.append(self.now)
        recent = [ns for ns in self.since_storm if ns > self.now - 60 * S]
        assert bool(outcome.storm) == (len(recent) >= 20)
        if outcome.storm:
            self.since_storm.clear()
        assert outcome.stopped == (len(self.rows[symbol]) == 5)

    @precondition(lambda self: self.rows)
    @rule(symbol=st.sampled_from("ABC"))
    def is_filled(self, symbol: str) -> None:
        assert self.rejects.succeeded(symbol) == (len(self.rows[symbol]) >= 5)
        self.rows[symbol].clear()

    @rule()
    def begins_a_day(self) -> None:
        self.rejects.new_day()
        self.rows.clear()

    @rule()
    def is_resumed(self) -> None:
        saved, self.rejects = self.rejects.export_state(), Rejects()
        self.rejects.import_state(saved)

    @invariant()
    def stops_and_waits_are_those_of_the_rows(self) -> None:
        for symbol in "ABC":
            row = self.rows.get(symbol, [])
            assert bool(self.rejects.stop_of(symbol)) == (len(row) >= 5)
            wait_s = min(2 ** (len(row) - 1), 60) if row else 0
            waits = bool(row) and self.now < row[-1] + wait_s * S
            assert bool(self.rejects.wait_of(symbol, self.now, None)) == waits


TestMachine = Machine.TestCase
