"""Entries of a book as a table for people and programs: one line for each posting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from qts.cli.columns import Column, csv_text, table_lines
from qts.cli.market_time import MarketTime
from qts.cli.status_lists import amount, iso, titled
from qts.ledger.entries import Balance, Entry, Posting
from qts.ledger.verification import is_in
from qts.runtime.session.result import text_of

Shown = tuple[Entry, Balance | None]
"""An entry, and the balance of the account that is asked for after it; None: none is."""

_COLUMNS: Final = (
    Column("booked_at", "booked"),
    Column("kind", "kind"),
    Column("row", "row", right=True, extra=True),
    Column("reference", "reference", extra=True),
    Column("account", "account"),
    Column("amount", "amount", right=True),
    Column("qty", "shares", right=True),
    Column("symbol", "symbol", extra=True),
    Column("text", "text", extra=True, sentence=True),
)
_BALANCE: Final = (Column("balance", "balance", right=True), Column("held", "held", right=True, extra=True))


class EntryTable(msgspec.Struct, frozen=True):
    """The postings of entries in lines; of the account that is asked for alone, with its balance, if one is."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, Posting, Balance | None], ...]

    def lines(self, time: MarketTime, width: int) -> list[str]:
        """Return the lines for people; the opening, which is before all time, has none."""
        columns = [titled(column, time) for column in self.columns]
        return table_lines(columns, [self._for_people(row, time) for row in self.rows], width)

    def csv(self) -> str:
        """Return comma-separated values: exact amounts, times in ISO 8601 and UTC, "" for the opening's."""
        return csv_text(self.columns, [self._exact(row) for row in self.rows])

    def _for_people(self, row: tuple[Entry, Posting, Balance | None], time: MarketTime) -> list[str]:
        entry, posting, balance = row
        return [
            time.bare(entry.ts_ns) if entry.ts_ns else "",
            entry.kind.value.lower(),
            f"{entry.row:,}",
            entry.reference,
            str(posting.account),
            amount(posting.amount) if posting.amount or not posting.symbol else "",
            amount(posting.qty) if posting.symbol else "",
            posting.symbol,
            entry.text,
            *([] if balance is None else [amount(balance.amount), amount(balance.qty)]),
        ]

    def _exact(self, row: tuple[Entry, Posting, Balance | None]) -> list[str]:
        entry, posting, balance = row
        return [
            iso(entry.ts_ns) if entry.ts_ns else "",
            entry.kind.value,
            str(entry.row),
            entry.reference,
            str(posting.account),
            text_of(posting.amount),
            text_of(posting.qty),
            posting.symbol,
            entry.text,
            *([] if balance is None else [text_of(balance.amount), text_of(balance.qty)]),
        ]


def entry_table(entries: Sequence[Shown], account: str) -> EntryTable:
    """Return the table of ``entries``; ``account`` "" shows all their postings."""
    rows = tuple(_postings_of(entries, account))
    return EntryTable((*_COLUMNS, *(_BALANCE if account else ())), rows)


def _postings_of(entries: Iterable[Shown], account: str) -> Iterable[tuple[Entry, Posting, Balance | None]]:
    for entry, balance in entries:
        for posting in entry.postings:
            if not account or is_in(posting.account, account):
                yield entry, posting, balance


def entry_values(entry: Entry, balance: Balance | None) -> dict[str, Any]:
    """Return an entry for JSON: amounts as texts, its time in ISO 8601, None for the opening's."""
    values: dict[str, Any] = {
        "kind": entry.kind.value,
        "row": entry.row,
        "booked_at": iso(entry.ts_ns) if entry.ts_ns else None,
        "reference": entry.reference,
        "text": entry.text,
        "postings": [
            {
                "account": str(one.account),
                "amount": text_of(one.amount),
                "qty": text_of(one.qty),
                "symbol": one.symbol,
            }
            for one in entry.postings
        ],
    }
    if balance is not None:
        values["balance"] = {"amount": text_of(balance.amount), "qty": text_of(balance.qty)}
    return values
