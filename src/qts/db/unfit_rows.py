"""Refuses rows of a body that could not be read back as what they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qts.db import tables
from qts.db.batch import body_columns
from qts.db.decoding import UNFIT, check_record
from qts.errors import BatchRefused


def refuse_unfit(table: tables.Table, rows: Sequence[Sequence[Any]], account: str) -> None:
    """Raise BatchRefused, naming table and row, for one that could not be read back as what it was."""
    start = 0 if table.key else 1
    width = len(body_columns(table))
    step = 2 if table is tables.TRANSFERS else 1  # a transfer is two rows
    place = table.columns.index("account") if "account" in table.columns else -1
    for number in range(0, len(rows), step):
        some = rows[number : number + step]
        name = " ".join(str(value) for value in some[0][: len(table.key) or 1])
        try:
            if [len(row) for row in some] != [width] * step:
                raise ValueError(f"it has {len(some[0])} values instead of {width}, or lacks its other leg")
            values = [row[start : start + len(table.columns)] for row in some]
            if place >= 0 and any(row[place] != account for row in values):
                raise ValueError(f"it is of account {values[0][place]!r}, the batch of {account!r}")
            for record in table.decode(values) if step == 2 else map(table.decode, values):
                check_record(record)
        except UNFIT as error:
            raise BatchRefused(
                f"table {table.name}, row {name}: {error}; nothing of the batch was written"
            ) from error
