"""Reads what a session has made known in a cache: from another machine, or for people on this one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheClient, CacheValue, Kind, ViewValue
from qts.cache.encoding import KIND_OF, V
from qts.cache.keys import parse_key
from qts.cache.manager import CacheManager
from qts.cache.servers import opener_of
from qts.cache.stats import Result
from qts.clock import NS_PER_S, Clock
from qts.db.resolving_loop import ResolvingLoop
from qts.errors import CacheStaleDataError, InputError, Unavailable
from qts.runtime.orders.unknown_view import UnknownOrderView
from qts.runtime.session.session_view import SessionView

_T = TypeVar("_T")
_FEW: Final = 10
"""The accounts that a message names."""


class CachedView(msgspec.Struct, frozen=True):
    """A session's view in a cache. ``age_s``: how old it is, in s, by the clock of this machine."""

    server: str
    account: str
    age_s: float
    view: SessionView


class CachedValues(msgspec.Struct, Generic[V], frozen=True):
    """Values of one kind by name. ``age_s``: how old the newest is, None without any.

    ``unknown``: names of which the cache has nothing that may be used now, though the session's view shows them or
    something is there: the session hangs, has ended while it held them, or its clock is another one. ``fates``: of
    orders, those whose fate the session's view shows as unknown; ``ended``: the session has ended.
    """

    server: str
    account: str
    values: Mapping[str, V]
    age_s: float | None
    unknown: tuple[str, ...]
    fates: tuple[UnknownOrderView, ...] = ()
    ended: bool = False


class CacheReader:
    """A reader of the cache that ``url`` names; ``with`` opens and closes it. For one thread, without a loop.

    ``account`` "": the only one there is. Raises InputError for a cache that cannot be used or reached, and where
    there is no such session; CacheStaleDataError for one that has shown nothing for too long, or whose clock is
    another one.
    """

    def __init__(
        self, url: str, environ: Mapping[str, str], account: str, config: CacheConfig, machine: Clock
    ) -> None:
        self._account, self._config, self._machine = account, config, machine
        self._open_client = opener_of(url, environ, writes=False)
        self._manager: CacheManager | None = None
        self._client: CacheClient | None = None
        self._runner = asyncio.Runner(loop_factory=ResolvingLoop)

    def __enter__(self) -> Self:
        try:
            self._run(self._open())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            if self._manager is not None:
                self._runner.run(self._manager.close())
        finally:
            self._runner.close()

    def view(self) -> CachedView:
        """Return the view of the session."""
        return self._run(self._view())

    def values(self, of: type[V]) -> CachedValues[V]:
        """Return the values of one class by name, and the names of those that should be there and are not."""
        return self._run(self._values(of))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self._runner.run(work)
        except Unavailable as error:
            raise InputError(f"--cache: {error}; see that the server runs and can be reached from here") from None

    async def _open(self) -> None:
        account = self._account or await self._only_account()
        client = self._client = self._open_client()
        self._manager = CacheManager(client, self._machine, self._config, account=account)
        self._account = account
        await self._manager.open()

    async def _only_account(self) -> str:
        """Return the only account of which there is a view."""
        prefix, client = self._config.prefix, self._open_client()
        try:
            await client.open()
            keys = [parse_key(prefix, text) async for text in client.keys(f"{prefix}:")]
        finally:
            await client.close()
        accounts = sorted({key.account for key in keys if key is not None and key.kind is Kind.VIEW})
        if not accounts:
            raise InputError(self._absent(""))
        if len(accounts) > 1:
            more = len(accounts) - _FEW
            named = ", ".join(accounts[:_FEW]) + (f" and {more} more" if more > 0 else "")
            raise InputError(f"the cache has sessions of {len(accounts)} accounts: {named}; name one by --account")
        return accounts[0]

    async def _view(self) -> CachedView:
        found = await self._found_view()
        return CachedView(self._server, self._account, self._age_s(found), self._decoded(found))

    def _decoded(self, found: ViewValue) -> SessionView:
        try:
            return msgspec.json.decode(found.json, type=SessionView)
        except msgspec.DecodeError:
            raise InputError(
                f"the view of account {self._account} in the cache is that of another version of QTS; install the "
                "one that the session has"
            ) from None

    async def _found_view(self) -> ViewValue:
        assert self._manager is not None  # open
        (read,) = await self._manager.read_many(ViewValue, [""])
        if read.result is Result.AWAY:
            raise Unavailable("the server does not answer")
        if read.result is Result.DAMAGED:
            raise InputError(
                f"the view of account {self._account} in the cache is none of QTS; give another --cache"
            )
        if read.value is None and read.age_ms is not None:
            limit_ms = self._config.view_ms + self._config.clock_skew_ms
            raise CacheStaleDataError(f"a view of account {self._account}", read.age_ms, limit_ms)
        if read.value is None:
            raise InputError(self._absent(self._account))
        return read.value

    async def _values(self, of: type[V]) -> CachedValues[V]:
        assert self._manager is not None and self._client is not None, "open"  # noqa: PT018
        view = self._decoded(await self._found_view())
        unknown = _shown_in(view, KIND_OF[of])
        kind, prefix = KIND_OF[of], self._config.prefix
        keys = [
            parse_key(prefix, text) async for text in self._client.keys(f"{self._manager.keys.own}{kind.value}:")
        ]
        names = sorted({key.name for key in keys if key is not None and key.kind is kind})
        values: dict[str, V] = {}
        for name, read in zip(names, await self._manager.read_many(of, names) if names else (), strict=True):
            if read.result is Result.AWAY:
                raise Unavailable("the server does not answer")
            if read.value is not None:
                values[name] = read.value
            elif read.result is not Result.MISS:  # what has expired since is what the view alone can tell of
                unknown.add(name)
        age_s = min(map(self._age_s, values.values()), default=None)
        missing = tuple(sorted(unknown - values.keys()))
        fates = view.unknown_orders if kind is Kind.ORDER else ()
        return CachedValues(self._server, self._account, values, age_s, missing, fates, bool(view.ended))

    def _absent(self, account: str) -> str:
        of = f"of account {account} " if account else ""
        return (
            f"the cache has no session {of}under the prefix {self._config.prefix!r}: none runs with this --cache, "
            f"or it has ended, or has shown nothing for {self._config.view_ms / 1_000:g} s"
        )

    @property
    def _server(self) -> str:
        assert self._client is not None  # open
        return self._client.server

    def _age_s(self, value: CacheValue) -> float:
        return max(self._machine.time_ns() - value.at_ns, 0) / NS_PER_S


def _shown_in(view: SessionView, kind: Kind) -> set[str]:
    """Return the names of a kind that a view shows as held or working; of other kinds none."""
    if kind is Kind.POSITION:
        return {one.symbol for one in view.positions if one.qty}
    return {one.order_id for one in view.orders} if kind is Kind.ORDER else set()
