"""The comparison of three accounts of a book sees what is missing, doubled or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.db.access import parse
from qts.db.timescale import TimescaleDBAdapter
from tests.db.server.books import assert_three_agree
from tests.db.server.trader import RUN, Trader
from tests.servers import sql
from tests.servers.fixtures import EVERY_BOOK, Database


def _copied(database: Database, path: Path, *, fills: int) -> None:
    """Trade, and apply all of it."""
    trader = Trader(path)
    trader.store.follow(["postgres"])
    for _ in range(fills):
        trader.trade()
    batches = trader.store.pending("postgres", 1_000)
    trader.store.close()

    async def apply() -> None:
        adapter = TimescaleDBAdapter(parse(database.url, {}))
        await adapter.open()
        await adapter.put_run(RUN, (), ())
        await adapter.apply(batches)
        await adapter.close()

    sql.finish(apply())


@EVERY_BOOK
def test_a_server_that_has_every_batch_agrees_with_the_book_and_the_recount(
    book_database: Database, tmp_path: Path
) -> None:
    _copied(book_database, tmp_path / "live.sqlite", fills=5)
    assert_three_agree(book_database, tmp_path / "live.sqlite", fills=5)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM qts.t_ledger WHERE id = 5",
        "UPDATE qts.t_ledger SET qty = qty + 0.000000001 WHERE id = 2",
        "INSERT INTO qts.capital_pools VALUES ('main', '0123456789abcdef', 'PORTFOLIO', 1, 0, 1)",
        "DELETE FROM qts.batches WHERE id = 3",
        "UPDATE qts.run_progress SET applied = 9",
    ],
)
def test_a_server_that_differs_is_found_out(book_database: Database, tmp_path: Path, change: str) -> None:
    # Given a server with every batch
    _copied(book_database, tmp_path / "live.sqlite", fills=5)
    # When a row of it is not what it was, then they do not agree
    book_database.execute(change)
    with pytest.raises(AssertionError):
        assert_three_agree(book_database, tmp_path / "live.sqlite", fills=5)
