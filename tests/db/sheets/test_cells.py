"""What stands in cells: every value comes back as it was, and nothing is read as a number or a formula."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.db.adapter import Query
from qts.db.contracts import LedgerRow, PositionRow
from qts.db.sheets.cells import Kind, letters, range_of, text_of, value_of
from qts.db.sheets.tabs import CONFIG, LEDGER, POSITIONS
from qts.errors import BatchRefused
from tests.db import rows
from tests.db.sheets.rig import LEDGER as FILLS
from tests.db.sheets.rig import Rig, error_of
from tests.effort import examples


@settings(max_examples=examples(200, whole=5_000), deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    cell = text_of(text, Kind.TEXT)
    assert value_of(cell, Kind.TEXT) == text
    # and it is one that JSON can carry, without a control character
    assert all(letter >= " " for letter in cell.encode().decode())


@settings(max_examples=examples(200, whole=5_000), deadline=None)
@given(st.integers(-(10**18), (1 << 63) - 1))
def test_any_moment_comes_back_to_the_nanosecond(ns: int) -> None:
    assert value_of(text_of(ns, Kind.TIME), Kind.TIME) == ns


def test_values_are_written_as_people_read_them() -> None:
    for value, kind, cell in (
        (1_700_000_000_000_000_001, Kind.TIME, "2023-11-14T22:13:20.000000001+00:00"),
        (0, Kind.TIME, "1970-01-01T00:00:00.000000000+00:00"),
        ("005930", Kind.TEXT, "005930"),
        ("-5", Kind.TEXT, "-5"),
        ("=1+1", Kind.TEXT, "=1+1"),
        ("a\0b\\", Kind.TEXT, "a\\u0000b\\u005c"),
        ("", Kind.TEXT, ""),
        (None, Kind.TEXT, "\\N"),
        ("\\N", Kind.TEXT, "\\u005cN"),
        (7, Kind.INT, "7"),
        (True, Kind.FLAG, "yes"),
    ):
        assert text_of(value, kind) == cell
        assert value_of(cell, kind) == value


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (5930, Kind.TEXT),
        (None, Kind.TEXT),
        (True, Kind.FLAG),
        ("maybe", Kind.FLAG),
        ("007", Kind.INT),
        ("1.0", Kind.INT),
        ("", Kind.INT),
        ("\\x", Kind.TEXT),
        ("2023-11-14T22:13:20.000000001+09:00", Kind.TIME),
        ("2023-11-14 22:13", Kind.TIME),
        ("2023-13-14T22:13:20.000000001+00:00", Kind.TIME),
    ],
)
def test_a_cell_that_was_not_written_so_is_no_value(cell: Any, kind: Kind) -> None:
    with pytest.raises(ValueError, match=r"."):
        value_of(cell, kind)


def test_columns_have_the_names_of_a_spreadsheet() -> None:
    assert [letters(n) for n in (1, 26, 27, 52, 53, 702, 703)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
    assert range_of("t_ledger run-1", 2, 9, 3) == "'t_ledger run-1'!A2:C9"


def test_keys_of_different_rows_are_different() -> None:
    pairs = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a%", "2Fb/c"), ("", "a"), ("a", "")]
    found = {POSITIONS.key_of([strategy, symbol, "SCALP", "1", "1", 1]) for strategy, symbol in pairs}
    assert len(found) == len(pairs)


def test_a_row_that_was_changed_is_not_intact() -> None:
    cells = POSITIONS.cells(["ema", "005930", "SCALP", "-3", "1.50", 9])
    assert POSITIONS.is_intact(cells)
    for place in range(len(cells)):
        for other in ("", "1", 5930, None):
            changed: list[Any] = [*cells[:place], other, *cells[place + 1 :]]
            assert not POSITIONS.is_intact(changed)
    # nor is one whose cells were moved
    assert not POSITIONS.is_intact([cells[0], cells[2], cells[1], *cells[3:]])
    assert not POSITIONS.is_intact([])


def test_a_long_text_is_spread_over_cells() -> None:
    # Given settings of 60,000 characters, some of which are written as six
    text = ("é\n" * 30_000)[:60_000]
    values = [1, "cfg", 5, "qts", "begun", text]
    cells = CONFIG.cells(values)
    assert all(len(cell) <= 25_000 for cell in cells)
    assert len(cells) == len(CONFIG.header) == CONFIG.width
    assert CONFIG.values(cells) == values
    assert CONFIG.is_intact(cells)
    with pytest.raises(ValueError, match="250000 fit"):
        CONFIG.cells([1, "cfg", 5, "qts", "begun", "x" * 250_001])


async def test_nothing_that_is_written_is_evaluated(rig: Rig) -> None:
    # Given fills and positions whose texts begin like formulas and numbers, negative amounts among them
    texts = [
        "=1+1",
        '=IMPORTXML("http://example.com")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "'=1",
        "000660",
        "1E5",
    ]
    async with rig.writer() as writer:
        rig.book.write(
            *(
                rows.ledger(f"x-{n}", symbol=text, strategy=text, order_id=text, realized_pnl=D("-5"))
                for n, text in enumerate(texts)
            ),
            *(rows.position(text, strategy=text, qty="-5.00") for text in texts),
        )
        await writer.send()
        # Then the cells are texts as they were written, and read back they are the same records
        assert all(isinstance(cell, str) for tab in rig.sheets.tabs for row in tab.rows for cell in row)
        assert not any("evaluated" in cell for tab in rig.sheets.tabs for row in tab.rows for cell in row)
        assert [row[3] for row in rig.sheets.tab(FILLS).filled[1:]][:2] == texts[:2]
        await rig.assert_same(writer.adapter)
        fill = [row async for row in writer.adapter.read(LedgerRow, Query(symbol="000660"))]
        assert [(row.symbol, str(row.realized_pnl)) for row in fill] == [("000660", "-5")]
        position = [row async for row in writer.adapter.read(PositionRow, Query(strategy="-1"))]
        assert [str(row.qty) for row in position] == ["-5.00"]


async def test_a_text_that_no_cell_can_hold_is_refused_by_row(rig: Rig) -> None:
    async with rig.writer() as writer:
        rig.book.write(rows.ledger("x-1"), rows.ledger("x-2", strategy="x" * 25_001))
        error = await error_of(writer.send())
        assert isinstance(error, BatchRefused)
        assert "table t_ledger, row 2" in str(error)
        assert await writer.adapter.applied("run-1") == 0
        assert len(rig.sheets.tab(FILLS).filled) == 1


def test_the_tab_of_fills_has_every_column_of_the_local_book() -> None:
    assert LEDGER.header[:6] == ["row", "id", "timestamp", "symbol", "side", "qty"]
    assert LEDGER.header[-2:] == ["digest", "check"]
    assert LEDGER.width == len(LEDGER.header) == 20
