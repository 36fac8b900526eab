"""A store from before orders said what was asked for: it opens, and its orders read back with the defaults."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from qts.db.migrate import migrate, migrations
from qts.db.reading import StoreReader
from qts.execution.contracts import OrderState, VenueRef
from qts.risk.contracts import OrderType, TimeInForce

from . import rows
from .rows import opened

SENT_NS = 1_769_044_800_000_000_000
"""2026-01-22 01:20 UTC, the same day in Seoul."""
REF = VenueRef(date(2026, 1, 22), "sim-o7", "sim")


def _order(key: str, price: str | None, number: str, state: str) -> list[object]:
    return [
        key, "d-1", f"a-{key}", "ema", "SCALP", "005930", "BUY", "10", price, "71200", state, "0",
        SENT_NS, SENT_NS, number, 0, 0, "why", "",
    ]  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of before: a limit order that changed since the checkpoint, and a market order that no venue named."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, [step for step in migrations() if step.version < 6], str(path))
        rows.begin_run_of_before(connection)
        before = json.dumps(_order("o-1", "71300", "", "INTENT"))
        for number, key in enumerate(("o-1", "o-2"), 1):
            connection.execute(
                "INSERT INTO decisions VALUES (?, ?, 'd-1', ?, 5, 6, 'cfg', '{}', NULL)", (number, f"a-{key}", key)
            )
        for values in (
            (*_order("o-1", "71300", "sim-o7", "WORKING"), 2, before),
            (*_order("o-2", None, "", "REJECTED"), 1, None),
        ):
            connection.execute(f"INSERT INTO orders VALUES ({', '.join('?' * len(values))})", values)
        connection.execute("UPDATE audit_chain SET unsealed = 2 WHERE of_table = 'decisions'")
        marks = "2 0 0 0 2 0 0 0 0 0"  # generation, size, then the newest row of each table: two decisions
        connection.execute("INSERT INTO checkpoint VALUES (1, ?, ?)", (marks, b""))
    return path


def test_its_orders_read_back_with_the_defaults(old: Path) -> None:
    store = opened(old)

    limited, market = store.orders()

    assert (limited.request.type, market.request.type) == (OrderType.LIMIT, OrderType.MARKET)
    assert (limited.venue_refs, market.venue_refs) == ((REF,), ())
    for order in (limited, market):
        request = order.request
        assert request.time_in_force is TimeInForce.DAY
        assert (request.venue, request.parent_id, request.tag) == ("", "", "")
        assert (request.expires_ns, request.stop_price) == (None, None)
    store.close()


def test_who_only_looks_sees_the_same(old: Path) -> None:
    before = old.read_bytes()

    with StoreReader(old) as reader:
        looked_at = reader.orders()

    assert old.read_bytes() == before
    store = opened(old)
    assert store.orders() == looked_at
    store.close()


def test_an_order_can_be_put_back_as_it_stood_at_its_checkpoint(old: Path) -> None:
    store = opened(old)

    store.rewind()

    (limited, _) = store.orders()
    assert (limited.state, limited.venue_refs) == (OrderState.INTENT, ())
    assert limited.request.type is OrderType.LIMIT
    store.close()


def test_an_order_of_now_is_kept_with_the_whole_chain_of_its_numbers(tmp_path: Path) -> None:
    store = opened(tmp_path / "new.sqlite")
    order = rows.order("o-1")

    store.commit([rows.decision("o-1"), order])

    assert [ref.number for ref in order.venue_refs] == ["b-1", "b-2"]
    assert store.orders() == [order]
    store.close()
