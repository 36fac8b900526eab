"""The four calls of the API of Google Sheets that are needed, with their pace, deadlines and pauses.

``values:append`` is never called: an append whose answer is lost may have been made, and is made twice by a repeat.
Texts are written RAW: nothing of them is ever read as a number, a date or a formula.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from qts.db.sheets.access import SheetsAccess
from qts.db.sheets.call_thread import CallThread
from qts.db.sheets.failures import (
    Answer,
    GridTooSmall,
    SheetsUnavailable,
    TabExists,
    TabMissing,
    asked_pause_s,
    error_of,
)
from qts.db.sheets.pacing import Pacing
from qts.db.sheets.session import Sender
from qts.db.sheets_config import SheetsConfig
from qts.errors import InputError, QtsError, StateError, Unavailable

_T = TypeVar("_T")
Cells: TypeAlias = Sequence[Sequence[str]]
"""Rows of texts, as they are written."""
Found: TypeAlias = list[list[Any]]
"""Rows as they are read: without the empty ones at the end; a cell that someone wrote may be no text."""

MOST_BYTES: Final = 1_800_000
"""Bytes of a call that writes; Google advises at most 2 MB."""
_MARGIN_S: Final = 2.0
"""What a call may take longer than the read of its answer: to sign in and to connect."""
_READ: Final = (("valueRenderOption", "UNFORMATTED_VALUE"), ("majorDimension", "ROWS"))
_encode: Final = msgspec.json.Encoder().encode


class _Values(msgspec.Struct, frozen=True):
    values: Found = msgspec.field(default_factory=list)


class _ManyValues(msgspec.Struct, frozen=True):
    valueRanges: list[_Values] = msgspec.field(default_factory=list)


class SheetsClient:
    """The calls to one spreadsheet. ``make_sender`` makes what sends them, on the client's own thread.

    ``pacing`` is that of all clients of the spreadsheet in this process. Calls are made one behind the other. They
    raise Unavailable (429, 5xx, no answer: whether a write happened is unknown), InputError (what only a person can
    change), TabMissing, TabExists and GridTooSmall.
    """

    def __init__(
        self,
        access: SheetsAccess,
        config: SheetsConfig,
        make_sender: Callable[[], Sender],
        pacing: Pacing,
    ) -> None:
        self._access, self._config, self._make_sender = access, config, make_sender
        self._clock, self._pace, self._backoff = pacing.clock, pacing.pace, pacing.backoff
        self._base = f"{config.base_url.rstrip('/')}/{quote(access.spreadsheet_id, safe='')}"
        self._one_by_one = asyncio.Lock()
        self._thread: CallThread | None = None
        self._sender: Sender | None = None

    async def open(self) -> None:
        """Start the thread and make what sends. Raises InputError for a key that is none, or what still holds."""
        self._backoff.require_over()
        thread = CallThread("qts-sheets")
        thread.start()
        self._thread = thread
        self._sender = await thread.run(self._make_sender, self._config.timeout_s + _MARGIN_S)

    def close(self) -> None:
        """Let go of thread and connections; may be called twice."""
        thread, self._thread = self._thread, None
        sender, self._sender = self._sender, None
        if thread is not None:
            thread.end(_nothing if sender is None else sender.close)

    # -- the calls ---------------------------------------------------------------------------------------------

    async def get(self, cells: str, what: str) -> Found:
        """Return the rows of one range."""
        answer = await self._call("GET", f"/values/{quote(cells, safe='')}?{urlencode(_READ)}", None, what)
        return self._decoded(answer, _Values, what).values

    async def get_many(self, ranges: Sequence[str], what: str) -> list[Found]:
        """Return the rows of many ranges, in their order."""
        query = urlencode([*(("ranges", cells) for cells in ranges), *_READ])
        found = self._decoded(await self._call("GET", f"/values:batchGet?{query}", None, what), _ManyValues, what)
        if len(found.valueRanges) != len(ranges):
            self._fail(SheetsUnavailable(f"{self._tried(what)}: the answer has {len(found.valueRanges)} ranges"))
        return [one.values for one in found.valueRanges]

    async def put_many(self, ranges: Sequence[tuple[str, Cells]], what: str) -> None:
        """Write many ranges, all of them or none."""
        data = [{"range": cells, "majorDimension": "ROWS", "values": rows} for cells, rows in ranges]
        await self._call("POST", "/values:batchUpdate", {"valueInputOption": "RAW", "data": data}, what)

    async def change(self, requests: Sequence[Mapping[str, Any]], what: str) -> None:
        """Change tabs, by all requests or none."""
        await self._call("POST", ":batchUpdate", {"requests": requests}, what)

    # -- inside ------------------------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None, what: str) -> bytes:
        data = None if body is None else _encode(body)
        async with self._one_by_one:
            thread, sender = self._thread, self._sender
            if thread is None or sender is None:
                raise StateError(f"spreadsheet {self._access.spreadsheet_id} is not open")
            self._backoff.require_over()
            await self._pace.turn()
            answer = await self._answer(thread, sender, method, self._base + path, data, what)
        if answer.status == 200:
            self._backoff.worked()
            return answer.body
        error = error_of(self._access, what, answer)
        if not isinstance(error, TabMissing | TabExists | GridTooSmall):
            self._fail(error, asked_pause_s(answer.retry_after, self._clock))
        self._backoff.worked()
        raise error

    async def _answer(
        self, thread: CallThread, sender: Sender, method: str, url: str, data: bytes | None, what: str
    ) -> Answer:
        deadline_s = self._config.timeout_s + _MARGIN_S
        try:
            return await thread.run(lambda: sender.send(method, url, data, what), deadline_s)
        except TimeoutError:
            sender.cut()  # else an answer that comes a byte at a time would keep the thread
            self._fail(SheetsUnavailable(f"{self._tried(what)}: no answer within {deadline_s:g} s"))
        except (Unavailable, InputError) as error:
            self._fail(error)

    def _fail(self, error: QtsError, asked_s: float = 0) -> NoReturn:
        if isinstance(error, Unavailable):
            self._backoff.failed(error, asked_s)
        else:
            self._backoff.refused(error)
        raise error

    def _decoded(self, body: bytes, kind: type[_T], what: str) -> _T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError:
            self._fail(SheetsUnavailable(f"{self._tried(what)}: the answer is none of Google Sheets"))

    def _tried(self, what: str) -> str:
        return f"spreadsheet {self._access.spreadsheet_id}: cannot {what}"


def _nothing() -> None:
    """Do no work: there is nothing to close."""
