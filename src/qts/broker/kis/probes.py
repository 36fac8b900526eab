"""Harmless questions by which an account shows whether what is believed about KIS holds.

Each asks for prices, lists or keys, never more than the pace of requests allows, and orders nothing. What is
believed is listed in docs/concepts/kis-beliefs.md, which names the probes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from qts.broker.kis.account import BALANCE, KisAccount
from qts.broker.kis.answers import Envelope, Reply, decoded
from qts.broker.kis.frame_widths import WidthListener, widths_of
from qts.broker.kis.holidays import HOLIDAYS
from qts.broker.kis.known import KnownOrders
from qts.broker.kis.layouts import BOOK_KRX, TRADES_KRX
from qts.broker.kis.opening import KisParts
from qts.broker.kis.quotations import RestQuotations
from qts.broker.kis.rest import KisRest
from qts.clock import NS_PER_MS, NS_PER_S
from qts.errors import BrokerUnavailable

LONGEST_WAIT_S: Final = 20.0
"""How long frames of one symbol are waited for."""
_HOUR_NS: Final = 3_600 * NS_PER_S
_TOKEN_HOURS: Final = (18, 24)
"""The life of a token as it is given: a day, or what is left of one that was given in the last six hours."""
_SLACK_NS: Final = 120 * NS_PER_S
_CLOCK_MS: Final = 500
_EVERY_FIELD: Final = "OPSQ2001"
_NOT_PAPER: Final = "EGW02006"
_ROWS: Final = {True: (100, 50), False: (15, 20)}
"""Orders and holdings on a page, of a live account and of a paper one."""
_VENUE: Final = "excg_id_dvsn_cd"
_HALTED: Final = "58"
_TRADE_WIDTHS: Final = (47,)
_BOOK_WIDTHS: Final = (59, 62, 63)


class Outcome(Enum):
    """The outcomes of a probe."""

    OK = "ok"
    DIFFERS = "differs"
    NOT_MEASURED = "not measured"


class Finding(msgspec.Struct, frozen=True):
    """The answer of one probe. ``seen``: what KIS showed, or why nothing was measured; it names no secret."""

    probe: str
    outcome: Outcome
    believed: str
    seen: str


class Probes:
    """The probes of one account. On one event loop; ``close`` ends their connection.

    ``symbol`` is what prices are asked of. Making it raises MissingExtraError.
    """

    def __init__(self, parts: KisParts, symbol: str = "005930", *, wait_s: float = LONGEST_WAIT_S) -> None:
        self._parts, self._symbol, self._wait_s = parts, symbol, wait_s
        self._rest: KisRest = parts.rest()
        self._account = KisAccount(self._rest, parts.clock, KnownOrders())
        self._is_live = parts.access.is_live
        self._widths: Mapping[str, int] | str | None = None

    async def close(self) -> None:
        """Close the connection."""
        await self._rest.close()

    async def run(self) -> list[Finding]:
        """Ask everything, one question after the other. Raises nothing of what KIS answers or does not."""
        probes: Sequence[tuple[str, str, Callable[[], Awaitable[tuple[Outcome, str]]]]] = (
            ("token-life", "a token lives 24 hours, and its end is told in Korean time", self.token_life),
            ("clock", f"our clock is within {_CLOCK_MS} ms of the times of KIS", self.clock),
            ("every-field", f"a query without one of its fields is refused with {_EVERY_FIELD}", self.every_field),
            ("not-paper", f"a live question at the paper host is refused with {_NOT_PAPER}", self.not_paper),
            ("order-rows", f"{_ROWS[self._is_live][0]} orders are on a page", self.order_rows),
            ("holding-rows", f"{_ROWS[self._is_live][1]} holdings are on a page", self.holding_rows),
            ("venue-column", f"the column of the venue is {_VENUE}", self.venue_column),
            ("halt", "a halted name has state 58, and temp_stop_yn N", self.halt),
            ("trade-fields", "trades have 47 fields", self.trade_fields),
            ("book-fields", "books have 59, 62 or 63 fields", self.book_fields),
        )
        try:
            await self._rest.tokens.token()
        except BrokerUnavailable as error:  # each probe would wait a minute for a token of its own
            return [Finding(name, Outcome.NOT_MEASURED, believed, str(error)) for name, believed, _ in probes]
        found = []
        for name, believed, probe in probes:
            try:
                outcome, seen = await probe()
            except BrokerUnavailable as error:
                outcome, seen = Outcome.NOT_MEASURED, str(error)
            found.append(Finding(name, outcome, believed, seen))
        return found

    # -- access --------------------------------------------------------------------------------------------------

    async def token_life(self) -> tuple[Outcome, str]:
        """Compare how long the token in use lives; none is asked for while one is good."""
        await self._rest.tokens.token()
        life_ns = self._rest.tokens.life_ns
        if life_ns is None:
            return Outcome.NOT_MEASURED, "it is not known when the token was given"
        least, most = (hours * _HOUR_NS for hours in _TOKEN_HOURS)
        seen = f"{life_ns / _HOUR_NS:.1f} hours"
        return _is(least - _SLACK_NS <= life_ns <= most + _SLACK_NS), seen

    async def clock(self) -> tuple[Outcome, str]:
        """Compare the machine's clock with the times in the answers of KIS."""
        await RestQuotations(self._rest, "KRX").price(self._symbol)
        offset = self._rest.times.offset()
        if offset is None:
            return Outcome.NOT_MEASURED, "its answers tell no time"
        apart_ms = offset.apart_ns // NS_PER_MS
        return _is(apart_ms <= _CLOCK_MS), f"at least {apart_ms:,} ms apart"

    async def every_field(self) -> tuple[Outcome, str]:
        """Ask for the holdings without a field that may be empty."""
        asked = {**self._account.holding_fields(), "CTX_AREA_FK100": "", "CTX_AREA_NK100": ""}
        del asked["OFL_YN"]
        tr_id = BALANCE.tr_id(is_live=self._is_live)
        reply = await self._rest.answer(BALANCE.path, tr_id, asked, "list the holdings")
        return _refused_with(reply, _EVERY_FIELD)

    async def not_paper(self) -> tuple[Outcome, str]:
        """Ask a paper account for the days on which the exchange opens."""
        if self._is_live:
            return Outcome.NOT_MEASURED, "a live account may ask for them"
        asked = {"BASS_DT": f"{self._account.today():%Y%m%d}", "CTX_AREA_FK": "", "CTX_AREA_NK": ""}
        reply = await self._rest.answer(HOLIDAYS.path, HOLIDAYS.live, asked, "list the days")
        return _refused_with(reply, _NOT_PAPER)

    # -- lists ---------------------------------------------------------------------------------------------------

    async def order_rows(self) -> tuple[Outcome, str]:
        """Count the orders on the first page of several."""
        pages = await self._account.order_pages()
        return _rows_of(pages, _ROWS[self._is_live][0], "orders of today")

    async def holding_rows(self) -> tuple[Outcome, str]:
        """Count the holdings on the first page of several."""
        pages = await self._account.holding_pages()
        return _rows_of(pages, _ROWS[self._is_live][1], "holdings")

    async def venue_column(self) -> tuple[Outcome, str]:
        """Find the column of the venue in the orders of today."""
        for page in await self._account.order_pages():
            for row in _rows(page):
                named = sorted(name for name in row if name.lower() == _VENUE)
                return _is(named == [_VENUE]), ", ".join(named) or "no such column"
        return Outcome.NOT_MEASURED, "there is no order of today"

    # -- prices --------------------------------------------------------------------------------------------------

    async def halt(self) -> tuple[Outcome, str]:
        """Compare the flags of a name that is halted, if the symbol is one."""
        row = await RestQuotations(self._rest, "KRX").price(self._symbol)
        seen = f"state {row.iscd_stat_cls_code}, temp_stop_yn {row.temp_stop_yn}"
        if row.iscd_stat_cls_code != _HALTED and row.temp_stop_yn != "Y":
            return Outcome.NOT_MEASURED, f"{self._symbol} is not halted ({seen})"
        return _is((row.iscd_stat_cls_code, row.temp_stop_yn) == (_HALTED, "N")), seen

    async def trade_fields(self) -> tuple[Outcome, str]:
        """Count the fields of a trade that comes by the websocket."""
        return _width(await self._frame_widths(), TRADES_KRX, _TRADE_WIDTHS)

    async def book_fields(self) -> tuple[Outcome, str]:
        """Count the fields of a book that comes by the websocket."""
        return _width(await self._frame_widths(), BOOK_KRX, _BOOK_WIDTHS)

    async def _frame_widths(self) -> Mapping[str, int] | str:
        """Return the fields of a record by the id of its frame, or why none came; one connection for all probes."""
        if self._widths is None:
            said: list[str] = []
            listener = WidthListener((TRADES_KRX, BOOK_KRX))
            try:
                async with asyncio.timeout(self._wait_s):
                    await widths_of(self._parts, self._rest, self._symbol, listener, said.append)
            except TimeoutError:
                pass
            why = said[-1] if said else f"nothing came within {self._wait_s:g} s; ask while {self._symbol} trades"
            self._widths = listener.widths or why
        return self._widths


def _is(holds: bool) -> Outcome:
    return Outcome.OK if holds else Outcome.DIFFERS


def _refused_with(reply: Reply, code: str) -> tuple[Outcome, str]:
    if reply.envelope is None:
        return Outcome.NOT_MEASURED, reply.told
    return _is(not reply.is_done and reply.code == code), reply.told


def _rows(page: Envelope) -> list[dict[str, object]]:
    return decoded(page.output1, list[dict[str, object]], "a list of the account")


def _rows_of(pages: Sequence[Envelope], believed: int, what: str) -> tuple[Outcome, str]:
    count = len(_rows(pages[0]))
    if len(pages) == 1 and count <= believed:
        return Outcome.NOT_MEASURED, f"{count} {what}, all on one page"
    return _is(count == believed), f"{count} {what} on the first of {len(pages)} pages"


def _width(widths: Mapping[str, int] | str, name: str, believed: Sequence[int]) -> tuple[Outcome, str]:
    if isinstance(widths, str):
        return Outcome.NOT_MEASURED, widths
    if name not in widths:
        return Outcome.NOT_MEASURED, "none came"
    return _is(widths[name] in believed), f"{widths[name]} fields"
