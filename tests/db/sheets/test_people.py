"""People in the spreadsheet: what they edit, sort, move or delete is theirs; the book is written beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qts.db.adapter import Query
from qts.db.contracts import LedgerRow
from qts.errors import InputError, StorageError, Unavailable
from tests.db.sheets.rig import LEDGER, POSITIONS, Rig, Writer, error_of, patiently

FRESH = f"{LEDGER} (2)"
DISTURBED: dict[str, Callable[[Rig], object]] = {
    "sorts the fills": lambda rig: rig.sheets.sort(LEDGER, 4),
    "deletes a fill": lambda rig: rig.sheets.delete_row(LEDGER, 4),
    "deletes the last fill": lambda rig: rig.sheets.delete_row(LEDGER, 9),
    "inserts a row": lambda rig: rig.sheets.insert_row(LEDGER, 3, "my note"),
    "moves a column": lambda rig: rig.sheets.move_column(LEDGER, 3, 5),
    "renames a column": lambda rig: rig.sheets.edit(LEDGER, 1, 4, "ticker"),
    "writes below the fills": lambda rig: rig.sheets.edit(LEDGER, 10, 1, "total"),
    "changes a key": lambda rig: rig.sheets.edit(LEDGER, 9, 1, 8),
    "deletes columns": lambda rig: setattr(rig.sheets.tab(LEDGER), "width", 8),
    "deletes the tab": lambda rig: rig.sheets.delete(LEDGER),
    "renames the tab": lambda rig: rig.sheets.rename(LEDGER, "fills of 2026"),
}


async def trades(rig: Rig, writer: Writer, fills: int = 8) -> None:
    """Trade and send all of it."""
    rig.trade(fills)
    assert await writer.send() == len(rig.book.batches())


@pytest.mark.parametrize("what", DISTURBED)
async def test_a_tab_that_someone_changed_is_left_alone_and_a_fresh_one_is_written(rig: Rig, what: str) -> None:
    # Given a spreadsheet with eight fills
    async with rig.writer() as writer:
        await trades(rig, writer)
        # When someone changes the tab of the fills, and the session ends and begins again
        DISTURBED[what](rig)
        theirs = {tab.title: tab.filled for tab in rig.sheets.tabs}
    async with rig.writer() as writer:
        rig.trade(2)
        await patiently(rig, writer.send)
        # Then what they made of it is as they left it, all fills are in a fresh tab, and it is told once
        assert all(
            rig.sheets.tab(title).filled == theirs[title] for title in theirs if title.startswith("t_ledger")
        )
        assert len(rig.sheets.tab(FRESH).filled) == 11
        assert len(writer.adapter.warnings) == 1
        assert f"{LEDGER} was moved, sorted or edited by someone" in writer.adapter.warnings[0]
        assert FRESH in writer.adapter.warnings[0]
        await rig.assert_same(writer.adapter)
        # and it goes on there
        await trades(rig, writer, 3)
        assert len(rig.sheets.tab(FRESH).filled) == 14
        assert len(writer.adapter.warnings) == 1


@pytest.mark.parametrize("what", DISTURBED)
async def test_it_is_seen_before_the_next_write_as_well(rig: Rig, what: str) -> None:
    # Given a session that follows
    async with rig.writer() as writer:
        await trades(rig, writer)
        # When someone changes the tab of the fills meanwhile, and a batch is sent
        DISTURBED[what](rig)
        rig.trade()
        await patiently(rig, writer.send)
        # Then nothing was written into what they changed
        await rig.assert_same(writer.adapter)
        assert len(rig.sheets.tab(FRESH).filled) == 10


async def test_a_server_that_is_idle_is_looked_at_as_well(rig: Rig) -> None:
    # Given a session without trades, and a tab that was sorted
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.sort(LEDGER, 4)
        # When the follower asks what the spreadsheet has, half a minute later, Then it lacks everything
        assert await writer.adapter.applied("run-1") == 8
        rig.later(31)
        assert await writer.adapter.applied("run-1") == 0


async def test_an_edited_row_is_named_and_the_local_book_is_written_beside_it(rig: Rig) -> None:
    # Given a spreadsheet in which someone changed an amount, emptied a row, and made a number of a symbol
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.edit(LEDGER, 4, 8, "-999")
        rig.sheets.edit(POSITIONS, 2, 3, 1)
        # When it is compared, Then the rows are named
        found = await writer.adapter.altered("run-1")
        assert found == (
            f"the tab {LEDGER}: row 3 was changed",
            f"the tab {POSITIONS}: row ema/000001 was changed",
        )
        # and the next write leaves both tabs alone and writes all of the local book into fresh ones
        rig.trade()
        await patiently(rig, writer.send)
        assert rig.sheets.tab(LEDGER).cell(3, 7) == "-999"
        assert {FRESH, f"{POSITIONS} (2)"} <= set(rig.sheets.titles)
        await rig.assert_same(writer.adapter)


async def test_a_comparison_names_what_is_missing_moved_or_gone(rig: Rig) -> None:
    async with rig.writer() as writer:
        await trades(rig, writer, 60)
        rig.sheets.delete_row(LEDGER, 61)
        assert await writer.adapter.altered("run-1") == (f"the tab {LEDGER}: row 60 is not there",)
        rig.sheets.sort(LEDGER, 1)
        found = await writer.adapter.altered("run-1")
        # Then as many rows as a person reads are named, and the others are counted
        assert len(found) == 21
        assert found[0] == f"the tab {LEDGER}: row 1 stands elsewhere"
        assert found[-1] == f"the tab {LEDGER}: 39 rows more"
        rig.sheets.delete(LEDGER)
        rig.sheets.edit(POSITIONS, 1, 2, "strategies")
        assert await writer.adapter.altered("run-1") == (
            f"the tab {LEDGER} is not there any more",
            f"the header of the tab {POSITIONS} was changed",
        )


async def test_a_comparison_of_many_rows_goes_on_where_the_last_one_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 30 fills of which the last is changed, and a comparison that reads two pages of five
    monkeypatch.setattr("qts.db.sheets.comparing.PAGE", 5)
    monkeypatch.setattr("qts.db.sheets.comparing._MOST_PAGES", 2)
    async with rig.writer() as writer:
        await trades(rig, writer, 30)
        rig.sheets.edit(LEDGER, 31, 8, "0")
        # Then the third one finds it, and the fourth begins at the first row again
        for expected in (0, 0, 1, 0, 0, 1):
            rig.sheets.calls.clear()
            assert len(await writer.adapter.altered("run-1")) == expected
            assert rig.sheets.made() <= 12


async def test_positions_are_found_wherever_someone_has_sorted_them_to(rig: Rig) -> None:
    # Given positions that were sorted
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.sort(POSITIONS, 1)
        # When they change, Then each is written where it stands now
        await trades(rig, writer, 3)
        assert len(rig.sheets.tab(POSITIONS).filled) == 4
        assert writer.adapter.warnings == ()
        await rig.assert_same(writer.adapter)


async def test_runs_are_found_wherever_someone_has_sorted_them_to(rig: Rig) -> None:
    # Given the tab of all runs, with a run of someone else, and sorted
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.edit("runs", 3, 1, "a note")
        rig.sheets.sort("runs", 1)
        await trades(rig, writer, 2)
        # Then the run goes on in its own row, and the note is said to be no run
        assert [row[0] for row in rig.sheets.tab("runs").filled] == ["row", "run-1", "a note"]
        await rig.assert_same(writer.adapter)
        assert any("row 3 of the tab runs" in text for text in writer.adapter.warnings)


@pytest.mark.parametrize(
    "what",
    [
        lambda rig: rig.sheets.edit("runs", 2, 4, "99"),
        lambda rig: rig.sheets.delete_row("runs", 2),
        lambda rig: rig.sheets.edit("runs", 1, 3, "who"),
        lambda rig: rig.sheets.delete("runs"),
    ],
    ids=["a number is changed", "the row is deleted", "the header is changed", "the tab is deleted"],
)
async def test_progress_that_someone_changed_is_not_believed(rig: Rig, what: Callable[[Rig], object]) -> None:
    # Given a run whose progress someone changed or took away
    async with rig.writer() as writer:
        await trades(rig, writer)
        what(rig)
        # When more is sent, Then all of it is there, and none of it twice
        rig.trade()
        await patiently(rig, writer.send)
        await rig.assert_same(writer.adapter)
        assert len(rig.sheets.tab(LEDGER).filled) == 10


async def test_tabs_of_others_are_left_alone(rig: Rig) -> None:
    # Given a spreadsheet that has tabs of our names for something else
    for title in ("runs", LEDGER, "config run-1"):
        rig.sheets.rename("Sheet1", title)
        rig.sheets.edit(title, 1, 1, "shopping list")
        rig.sheets.tabs.append(type(rig.sheets.tabs[0])("Sheet1", len(rig.sheets.tabs), 10, 10))
    # When a run is written, Then it has tabs of its own
    async with rig.writer() as writer:
        await trades(rig, writer)
        await rig.assert_same(writer.adapter)
        assert len(writer.adapter.warnings) == 3
    for title in ("runs", LEDGER, "config run-1"):
        assert rig.sheets.tab(title).filled == [["shopping list"]]
        assert f"{title} (2)" in rig.sheets.titles


async def test_a_tab_that_is_changed_again_and_again_is_given_up(rig: Rig) -> None:
    # Given someone, or a script, that sorts every tab of fills
    async with rig.writer() as writer:
        await trades(rig, writer)
        for number in range(2, 10):
            rig.sheets.sort(rig.sheets.titles[-1] if number > 2 else LEDGER, 4)
            rig.trade()
            await patiently(rig, writer.send)
            assert rig.sheets.titles[-1] == f"{LEDGER} ({number})"
        rig.sheets.sort(rig.sheets.titles[-1], 4)
        rig.trade()
        # When the ninth is sorted, Then it is said what to do, and no further tab is made
        error = await error_of(writer.send())
        assert isinstance(error, InputError)
        assert "find out what changes it" in str(error)
        assert len(rig.sheets.titles) == 14


async def test_a_tab_that_is_changed_while_a_copy_is_written_is_noticed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a copy of which the first part was written
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.delete("runs")
        rig.trade()
        puts = 0

        def sorting(call: object) -> str:
            nonlocal puts
            puts += getattr(call, "kind", "") == "values:batchUpdate"
            if puts == 3:
                rig.sheets.cut = lambda call: ""
                rig.sheets.sort(LEDGER, 4)
            return ""

        rig.sheets.cut = sorting
        # When someone sorts it meanwhile, Then the copy is begun again
        assert isinstance(await error_of(writer.send()), Unavailable)
        await patiently(rig, writer.send)
        await rig.assert_same(writer.adapter)


async def test_what_someone_changed_is_never_a_part_of_a_book(rig: Rig) -> None:
    # Given a fill whose amount someone changed
    async with rig.writer() as writer:
        await trades(rig, writer)
        rig.sheets.edit(LEDGER, 4, 8, "-999")
        # When a book is to be made of the spreadsheet, Then the row is named
        with pytest.raises(StorageError, match=r"row 3 .*someone changed it"):
            assert [body async for body in writer.adapter.bodies("run-1")] == []
        # and to compare it, it is read as it stands there
        assert len([body async for body in writer.adapter.bodies("run-1", as_is=True)]) == 2
        amounts = [str(row.amount) async for row in writer.adapter.read(LedgerRow, Query())]
        assert amounts[2] == "-999"
        # but for what is no amount at all
        rig.sheets.edit(LEDGER, 4, 8, "a lot")
        with pytest.raises(StorageError, match="row 3"):
            assert [row async for row in writer.adapter.read(LedgerRow, Query())] == []
