"""A notice that cannot be booked is kept raw, raises FAIL and asks the broker; it never ends the session."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.cli.console import Screen
from qts.cli.status_screen import facts_of, status_lines
from qts.cli.summary import print_summary
from qts.db.contracts import QuarantineRow
from qts.db.find_run import FoundRun
from qts.execution.contracts import BrokerDisconnect, Order, OrderCancelled, OrderRejected, OrderState
from qts.notes import in_korean
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.quarantine import MAX_LOGGED, MAX_SHOWN, MAX_STORED, REMEMBERED, Quarantine
from qts.runtime.persistence.run_lookup import RunStatus
from qts.runtime.session.result import ResultValues, SessionResult, quarantined
from qts.safety.contracts import SafetyState
from tests.report.session import result
from tests.risk.requests import D
from tests.runtime.rig import Rig, ScriptedStrategy
from tests.runtime.test_execution_reports import booked, codes, fill, tell, working
from tests.runtime.test_session_view import shown

__all__ = ["working"]


def kept(rig: Rig) -> list[QuarantineRow]:
    return list(rig.store.quarantine())


@pytest.mark.parametrize(
    "wrong",
    [{"price": D(149_950)}, {"price": D(149_100)}, {"qty": D(1_000)}, {"fee": D(10_000_000)}, {"tax": D(-1)}],
    ids=str,
)
def test_a_fill_that_does_not_fit_is_kept_fails_safety_and_has_the_books_compared(
    wrong: dict[str, Any], working: tuple[Rig, Order]
) -> None:
    rig, order = working
    before = rig.invariant(25)["checks"]
    notice = fill(order, "e1", **wrong)

    tell(rig, notice)

    (row,) = kept(rig)
    assert (row.code, row.notice) == ("FS041", ascii(notice))
    assert rig.shared.safety.current_state is SafetyState.FAIL
    assert rig.invariant(25)["checks"] == before + 1, "the broker was asked for its book"
    assert (booked(rig), rig.held()) == ([], 0)


@pytest.mark.parametrize(
    "wrong",
    [{"execution_id": "e\ud800"}, {"qty": None}, {"price": "cheap"}, {"ts_ns": -1}, {"side": "LONG"}],
    ids=ascii,
)
def test_a_notice_that_no_journal_could_hold_is_kept_and_the_session_goes_on(
    wrong: dict[str, Any], working: tuple[Rig, Order]
) -> None:
    rig, order = working

    tell(rig, msgspec.structs.replace(fill(order, "e1"), **wrong))
    tell(rig, fill(order, "e2"))

    assert [row.code for row in kept(rig)] == ["FS041"]
    assert booked(rig) == ["e2"]


def test_a_fill_of_an_unknown_order_is_kept_too(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1", client_order_id="rig-o-99"))

    (row,) = kept(rig)
    assert row.code == "FS070"
    assert "rig-o-99" in row.notice


def test_the_same_notice_sent_again_is_kept_once_and_a_changed_one_beside_it(working: tuple[Rig, Order]) -> None:
    rig, order = working
    notice = fill(order, "e1", price=149_950)

    tell(rig, notice, notice, fill(order, "e1", price=149_960))

    assert [row.notice for row in kept(rig)] == [ascii(notice), ascii(fill(order, "e1", price=149_960))]
    assert codes(rig) == {"FS041": 2}


def test_an_overfill_up_to_twice_the_order_is_booked_and_fails_safety(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1", qty=10), fill(order, "e2", qty=10))

    assert rig.held() == 20
    assert kept(rig) == []
    assert rig.shared.safety.current_state is not SafetyState.NORMAL


def test_memory_is_bounded_and_a_restart_knows_what_the_store_holds(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(ScriptedStrategy())
    told: list[str] = []
    quarantine = Quarantine(
        rig.shared.record,
        on_code=lambda code, detail: told.append(detail),
        on_kept=lambda: None,
        log=lambda *line: None,
    )
    quarantine.restore([QuarantineRow(1, "FS041", "r", ascii(f"notice {n}")) for n in range(REMEMBERED + 5)])

    quarantine.keep(f"notice {REMEMBERED + 4}", "FS041", "r", 1)
    assert told == []
    quarantine.keep("x" * 10_000_000, "FS041", "r", 1)

    assert len(quarantine._known) == REMEMBERED
    assert len(told[0]) < 3_000
    assert max(len(text) for text in quarantine._known) <= MAX_STORED


# -- where it is shown ---------------------------------------------------------------------------------------------


def test_number_and_first_stand_in_result_view_and_notes_in_both_languages(working: tuple[Rig, Order]) -> None:
    """given two notices that are not booked and one of them again, then two are reported, and which was first"""
    rig, order = working
    first, second = fill(order, "e1", price=149_950), fill(order, "e2", client_order_id="rig-o-99")

    tell(rig, first, second, first)

    told = quarantined(shown(rig), str)
    assert told["count"] == 2
    assert told["first"]["code"] == "FS041"
    assert "149950" in told["first"]["reason"]
    assert told["first"]["notice"] == ascii(first)[:MAX_SHOWN]
    view = shown(rig)
    (text,) = (text for text in view.notes if text.startswith("quarantine: "))
    assert text.startswith("quarantine: 2 notices of the broker were not booked; the first at ")
    (note,) = (note for note in view.note_values if note.code == "quarantine")
    assert in_korean(note).startswith("격리된 증권사 통보: 2건을 장부에 반영하지 않았습니다. 첫 건은 ")
    kept = view.quarantine
    assert kept is not None
    assert (kept.count, kept.code, kept.notice) == (2, "FS041", ascii(first)[:MAX_SHOWN])


def test_nothing_is_said_where_every_fill_was_booked(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"))

    assert quarantined(shown(rig), str) == {"count": 0, "first": None}
    assert [note for note in shown(rig).notes if "quarantine" in note] == []
    assert shown(rig).quarantine is None


def test_a_restart_counts_on_from_what_the_store_holds(rig_of: Callable[..., Rig]) -> None:
    quarantine = rig_of(ScriptedStrategy()).kernel.execution_reports.quarantine
    quarantine.restore([QuarantineRow(n, "FS041", "r", f"notice {n}") for n in range(1, 4)])

    quarantine.keep("another", "FS070", "r", 9)

    assert quarantine.count == 4
    assert quarantine.first == QuarantineRow(1, "FS041", "r", "notice 1")


def test_status_and_summary_say_it(working: tuple[Rig, Order], tmp_path: Path) -> None:
    rig, order = working
    tell(rig, fill(order, "e1", price=149_950))
    status = RunStatus(FoundRun(tmp_path, False, None, 0), "stopped", "", None, shown(rig))

    (line,) = (line for line in status_lines(status, 500) if line.startswith("not booked"))
    names, (row,) = facts_of(status)

    assert "1 notice of the broker, the first at " in line
    assert "(FS041)" in line
    assert row[[column.key for column in names].index("quarantined")] == "1"
    screen = Screen(file=StringIO(), width=500)
    print_summary(
        screen,
        SessionResult(msgspec.convert(result(quarantined=quarantined(shown(rig), str)), ResultValues), tmp_path),
    )
    assert "NOT BOOKED: 1 notice of the broker, the first: Fill(" in screen.file.getvalue()  # type: ignore[attr-defined]


# -- reports other than fills --------------------------------------------------------------------------------------

WORDS = ("half \ud800 a pair", "two\nlines\x1b[2J\0", "x" * 1_000_000)


@pytest.mark.parametrize("words", WORDS, ids=["surrogate", "control", "long"])
@pytest.mark.parametrize("kind", [OrderCancelled, OrderRejected])
def test_an_end_is_applied_whatever_its_reason_says(
    kind: type[OrderCancelled | OrderRejected], words: str, working: tuple[Rig, Order]
) -> None:
    """given an order that works, when its end comes with words no file holds, then it has ended and is stored"""
    rig, order = working

    tell(rig, kind("sim", order.client_order_id, order.symbol, order.ts_intent_ns + 1, words))

    assert len(rig.shared.orders) == 0
    assert rig.shared.account.open_reservations == ()
    run_to_completion(rig.shared.record.checkpoint())
    (stored,) = rig.store.orders()
    assert stored.state in (OrderState.CANCELLED, OrderState.REJECTED)
    assert stored.note.encode()
    assert len(stored.note) < 1_000
    (raw,) = (line.message for line in rig.logged if "a reason that cannot be kept" in line.message)
    assert ascii(words)[:20] in raw
    assert len(raw) < MAX_LOGGED + 200


@pytest.mark.parametrize("words", WORDS, ids=["surrogate", "control", "long"])
def test_a_disconnect_is_told_whatever_its_reason_says(words: str, working: tuple[Rig, Order]) -> None:
    rig, _ = working

    tell(rig, BrokerDisconnect("sim", words, rig.shared.clock.time_ns()))

    assert codes(rig)["AN050"] == 1
    run_to_completion(rig.shared.record.checkpoint())


def test_an_end_of_an_unreadable_order_is_kept_raw_and_ends_nothing(working: tuple[Rig, Order]) -> None:
    rig, order = working
    report = OrderCancelled("sim", "o\ud800", order.symbol, order.ts_intent_ns + 1, "why")

    tell(rig, report)

    (row,) = kept(rig)
    assert row.notice == ascii(report)
    assert [one.client_order_id for one in rig.shared.orders] == [order.client_order_id]
