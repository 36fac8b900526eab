"""What only a person can change: a line says what was tried, what is allowed and what to do; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qts.errors import InputError
from tests.db.sheets.desk import LEDGER, Desk, error_of, patiently
from tests.servers.sheets import ACCOUNT, SPREADSHEET, Refused


def _protect(desk: Desk) -> None:
    desk.sheets.tab(LEDGER).protected = True


def _unprotect(desk: Desk) -> None:
    desk.sheets.tab(LEDGER).protected = False


def _fill(desk: Desk) -> None:
    """Leave no room for the rows that the next batch needs."""
    desk.sheets.most_cells = sum(tab.height * tab.width for tab in desk.sheets.tabs)


def _empty(desk: Desk) -> None:
    desk.sheets.most_cells = 10_000_000


def _set(**changes: object) -> Callable[[Desk], None]:
    def make(desk: Desk) -> None:
        for name, value in changes.items():
            setattr(desk.sheets, name, value)

    return make


def _revoke(desk: Desk) -> None:
    desk.sheets.is_revoked = True
    desk.sheets.forget_tokens()


UNUSED = "Google Sheets API has not been used in project 1 before or it is disabled."
REFUSED: dict[str, tuple[Callable[[Desk], object], Callable[[Desk], object], tuple[str, ...]]] = {
    "no right to write": (_set(may_write=False), _set(may_write=True), ("403", f"share it with {ACCOUNT}")),
    "not shared any more": (
        _set(always=Refused(403, "PERMISSION_DENIED", "The caller does not have permission")),
        _set(always=None),
        ("PERMISSION_DENIED", "as an editor"),
    ),
    "the API is not enabled": (
        _set(always=Refused(403, "PERMISSION_DENIED", UNUSED)),
        _set(always=None),
        ("enable it in the project",),
    ),
    "deleted": (
        _set(always=Refused(404, "NOT_FOUND", "Requested entity was not found.")),
        _set(always=None),
        ("404 NOT_FOUND", "check its id"),
    ),
    "a protected tab": (_protect, _unprotect, ("protected", "remove the protection")),
    "no room for more cells": (_fill, _empty, ("allowed are 10,000,000 cells", "delete tabs")),
    "a revoked key": (
        _revoke,
        _set(is_revoked=False),
        ("invalid_grant", "make a new one", "QTS_SHEETS_CREDENTIALS"),
    ),
    "an answer of no known meaning": (
        _set(always=Refused(418, "TEAPOT", "\x1b[2J" + "x" * 5_000)),
        _set(always=None),
        ("418 TEAPOT", "base_url in config/sheets.yaml"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_only_a_person_can_change_is_said_and_nothing_is_lost(desk: Desk, what: str) -> None:
    refuse, allow, words = REFUSED[what]
    async with desk.writer() as writer:
        # Given a spreadsheet with 999 fills: the next one needs more rows
        desk.trade(999, together=True)
        await writer.send()
        # When it cannot be written any more
        refuse(desk)
        desk.trade()
        error = await error_of(writer.send())
        # Then one line says what was tried, what is allowed and what to do
        assert isinstance(error, InputError)
        assert str(error).startswith(f"spreadsheet {SPREADSHEET}: cannot ")
        assert "allowed " in str(error)
        for word in words:
            assert word in str(error)
        assert len(str(error)) < 700
        assert str(error).isprintable()
        # and the follower, which tries again every five seconds, is not let through more than once in a minute
        desk.sheets.calls.clear()
        for _ in range(60):
            assert isinstance(await error_of(writer.send()), InputError)
            desk.later(5)
        assert desk.sheets.made() <= 4 * 5
        # and when it was changed, everything is there
        allow(desk)
        desk.later(61)
        await patiently(desk, writer.send)
        await desk.assert_same(writer.adapter)


async def test_a_token_that_is_not_valid_any_more_is_asked_for_again(desk: Desk) -> None:
    async with desk.writer() as writer:
        desk.trade()
        # When the server has forgotten who signed in, Then it is signed in again, and no one hears of it
        desk.sheets.forget_tokens()
        assert await writer.send() == 1


async def test_no_server_at_all_is_no_answer(desk: Desk) -> None:
    adapter = desk.adapter()
    desk.sheets._server.server_close()
    error = await error_of(adapter.open())
    assert "cannot be reached" in str(error)
    assert not isinstance(error, InputError)
    await adapter.close()
