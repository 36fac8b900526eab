"""What only a person can change: a line says what was tried, what is allowed and what to do; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qts.errors import InputError
from tests.db.sheets.rig import LEDGER, Rig, error_of, patiently
from tests.servers.sheets import ACCOUNT, SPREADSHEET, Refused


def _protect(rig: Rig) -> None:
    rig.sheets.tab(LEDGER).protected = True


def _unprotect(rig: Rig) -> None:
    rig.sheets.tab(LEDGER).protected = False


def _fill(rig: Rig) -> None:
    """Leave no room for the rows that the next batch needs."""
    rig.sheets.most_cells = sum(tab.height * tab.width for tab in rig.sheets.tabs)


def _empty(rig: Rig) -> None:
    rig.sheets.most_cells = 10_000_000


def _set(**changes: object) -> Callable[[Rig], None]:
    def make(rig: Rig) -> None:
        for name, value in changes.items():
            setattr(rig.sheets, name, value)

    return make


def _revoke(rig: Rig) -> None:
    rig.sheets.is_revoked = True
    rig.sheets.forget_tokens()


UNUSED = "Google Sheets API has not been used in project 1 before or it is disabled."
REFUSED: dict[str, tuple[Callable[[Rig], object], Callable[[Rig], object], tuple[str, ...]]] = {
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
async def test_what_only_a_person_can_change_is_said_and_nothing_is_lost(rig: Rig, what: str) -> None:
    refuse, allow, words = REFUSED[what]
    async with rig.writer() as writer:
        # Given a spreadsheet with 999 fills: the next one needs more rows
        rig.trade(999, together=True)
        await writer.send()
        # When it cannot be written any more
        refuse(rig)
        rig.trade()
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
        rig.sheets.calls.clear()
        for _ in range(60):
            assert isinstance(await error_of(writer.send()), InputError)
            rig.later(5)
        assert rig.sheets.made() <= 4 * 5
        # and when it was changed, everything is there
        allow(rig)
        rig.later(61)
        await patiently(rig, writer.send)
        await rig.assert_same(writer.adapter)


async def test_a_token_that_is_not_valid_any_more_is_asked_for_again(rig: Rig) -> None:
    async with rig.writer() as writer:
        rig.trade()
        # When the server has forgotten who signed in, Then it is signed in again, and no one hears of it
        rig.sheets.forget_tokens()
        assert await writer.send() == 1


async def test_no_server_at_all_is_no_answer(rig: Rig) -> None:
    adapter = rig.adapter()
    rig.sheets._server.server_close()
    error = await error_of(adapter.open())
    assert "cannot be reached" in str(error)
    assert not isinstance(error, InputError)
    await adapter.close()
