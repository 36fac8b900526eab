"""The key of a journalled event contains, for a fill, the identity that makes it count once."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import NS_PER_S
from qts.event.contracts import EventPriority, EventType, create_event
from qts.event.journal import Journal
from qts.event.journal_key import id_in, identity_in, pack_key
from qts.event.journal_recovery import read_journal, recover
from qts.event.journal_segments import MAX_KEY_BYTES, Mark
from qts.execution.contracts import Fill, OrderCancelled
from qts.ledger.account import Account
from qts.strategy.contracts import Side
from tests.event.support import inline_dispatcher
from tests.ledger.book import account

RUN_ID = "0123456789abcdef"
NOON = 1_767_236_400 * NS_PER_S
DAY = 86_400 * NS_PER_S
texts = st.text(max_size=30)


def fill(**changes: object) -> Fill:
    told = Fill("sim", "x-1", "o-1", "005930", Side.BUY, D(1), D(70_000), D(10), D(0), NOON, False)
    return msgspec.structs.replace(told, **changes)


# -- keys by themselves -------------------------------------------------------------------------------------------


@given(texts, st.none() | st.lists(texts, max_size=5))
def test_a_key_gives_back_the_id(event_id: str, identity: list[str] | None) -> None:
    assert id_in(pack_key(event_id, identity)) == event_id.encode("utf-8", "surrogatepass")
    assert bool(identity_in(pack_key(event_id, identity))) == bool(identity)


@given(st.lists(texts, min_size=1, max_size=5), st.lists(texts, min_size=1, max_size=5), texts, texts)
def test_keys_share_an_identity_when_it_is_the_same_and_only_then(
    one: list[str], other: list[str], id_of_one: str, id_of_other: str
) -> None:
    same = identity_in(pack_key(id_of_one, one)) == identity_in(pack_key(id_of_other, other))
    assert same == (one == other)
    assert identity_in(pack_key(id_of_one, one)) == identity_in(pack_key(id_of_other, list(one)))


def test_an_id_that_looks_like_the_key_of_an_execution_stays_what_it_is() -> None:
    for event_id in ("execution:4:main#e-1", "execution:", "a#b", "#", "%23"):
        assert id_in(pack_key(event_id, None)) == event_id.encode()
        assert identity_in(pack_key(event_id, None)) == b""


def test_a_key_of_an_earlier_version_is_the_id() -> None:
    assert (id_in(b"abc-e-7"), identity_in(b"abc-e-7")) == (b"abc-e-7", b"")


def test_an_identity_of_any_length_finds_room() -> None:
    key = pack_key("e-1", ["main", "x" * 1_000_000])

    assert len(key) < MAX_KEY_BYTES
    assert id_in(key) == b"e-1"
    assert identity_in(key) != identity_in(pack_key("e-1", ["main", "x" * 1_000_001]))


# -- fills in a journal --------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal", RUN_ID)
    made.identify = account().identity_of
    return made


def keys_of(journal: Journal, *bodies: object) -> list[bytes]:
    """What the keys of events about ``bodies`` begin with, each published and handled."""
    dispatcher = inline_dispatcher(journal=journal)

    async def handle(event: object) -> None: ...

    dispatcher.register_handler(EventPriority.P0_CRITICAL, handle)
    for number, body in enumerate(bodies):
        kind = EventType.FILL_PARTIAL if isinstance(body, Fill) else EventType.ORDER_CANCELLED
        dispatcher.dispatch_nowait(create_event(kind, payload=body, event_id=f"e-{number}"))
        dispatcher.run_inline()
    journal.close()
    report = read_journal(journal.directory)
    assert [one.record.event_id for one in report.entries.values()] == [f"e-{n}" for n in range(len(bodies))]
    assert [one.status for one in report.entries.values()] == [Mark.APPLIED] * len(bodies)
    assert report.problems == []
    return [identity_in(one.record.key) for one in report.entries.values()]


def test_the_same_execution_sent_twice_has_one_identity_and_both_are_kept(journal: Journal) -> None:
    """given a fill and the same one with another fee, when both come, then both are on disk and count as one"""
    first, again = keys_of(journal, fill(), fill(fee=D(11)))

    assert first == again != b""
    assert read_journal(journal.directory).repeated == 1


@pytest.mark.parametrize(
    "other",
    [{"client_order_id": "o-2"}, {"ts_ns": NOON + DAY}, {"broker": "other"}, {"execution_id": "x-2"}],
    ids=["order", "day", "broker", "number"],
)
def test_the_same_number_elsewhere_is_another_execution(journal: Journal, other: dict[str, object]) -> None:
    first, second = keys_of(journal, fill(), fill(**other))

    assert first != second
    assert read_journal(journal.directory).repeated == 0


def test_what_is_no_fill_or_cannot_be_read_has_its_id_alone(journal: Journal) -> None:
    cancelled = OrderCancelled("sim", "o-1", "005930", NOON, "why")

    assert keys_of(journal, cancelled, fill(ts_ns=-1)) == [b"", b""]


def test_ids_go_on_behind_those_of_fills(journal: Journal) -> None:
    """given fills with counted ids, when the journal is opened again, then the next number is not used twice"""
    keys_of(journal, fill(), fill(execution_id="x-2"))

    assert recover(journal.directory).last_numbers == {"e": 1}


def test_the_identity_is_that_of_the_book() -> None:
    book: Account = account()

    assert book.identity_of(fill()) == ("main", "sim", "2026-01-01", "o-1", "x-1")
    assert book.identity_of("no fill") is None
