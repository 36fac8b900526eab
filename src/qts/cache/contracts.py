"""The port of a cache, and the values of the kinds that it holds.

A cache holds what a session has made known of itself, for other programs and machines, for some milliseconds to a
minute. Nothing that decides about an order reads it: with the cache wiped, away or wrong the session trades the
same.

Every value carries its own time and expires by itself. :class:`CacheClient` knows keys and texts alone; the kinds,
their keys, lifetimes and what is too old are those of :class:`~qts.cache.manager.CacheManager`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec

Fields: TypeAlias = Mapping[str, str]
"""A value as a cache holds it: field and text."""


class Kind(str, Enum):
    """A kind of value; the text is what stands for it in keys. There is one RISK and one VIEW of an account."""

    PRICE = "price"
    POSITION = "pos"
    BOOK = "book"
    RISK = "risk"
    ORDER = "ord"
    STRATEGY = "strat"
    VIEW = "view"


class PriceValue(msgspec.Struct, frozen=True, kw_only=True):
    """The newest price of a symbol. ``timestamp_ms``: the market's time of it, ms since 1970 UTC. None: not known.

    ``at_ns``, here and in the other values: the machine's time at which the session knew it so, ns since 1970 UTC.
    """

    at_ns: int
    timestamp_ms: int
    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    volume: Decimal | None = None


class PositionValue(msgspec.Struct, frozen=True, kw_only=True):
    """The shares that the account holds of a symbol, all strategies together.

    ``exposure_pct``: its worth in percent of equity. ``updated_at``: the session's time of its last change, ns
    since 1970 UTC. None: there is no price.
    """

    at_ns: int
    qty: Decimal
    avg_price: Decimal
    updated_at: int
    unrealized_pnl: Decimal | None = None
    exposure_pct: Decimal | None = None


class Level(msgspec.Struct, frozen=True):
    """A price of an order book and the volume that waits there."""

    price: Decimal
    volume: Decimal


class BookValue(msgspec.Struct, frozen=True, kw_only=True):
    """The order book of a symbol; the best levels come first. ``timestamp_ms``: as that of a price."""

    at_ns: int
    timestamp_ms: int
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


class RiskValue(msgspec.Struct, frozen=True, kw_only=True):
    """Risk of the account, taken and allowed; amounts in its currency, None where there is no limit or no price.

    ``trade_count``: its fills of the market's day. ``remaining_limit``: what the day may lose from now on.
    """

    at_ns: int
    daily_pnl: Decimal
    trade_count: int
    exposure_used: Decimal | None = None
    remaining_limit: Decimal | None = None
    max_exposure_pct: Decimal | None = None
    daily_loss_limit: Decimal | None = None


class OrderValue(msgspec.Struct, frozen=True, kw_only=True):
    """An order: while it works, and for a minute behind its end.

    ``avg_fill_price`` None: nothing was filled, or all of it before the session was resumed.
    """

    at_ns: int
    status: str
    strategy: str
    symbol: str
    side: str
    qty: Decimal
    filled_qty: Decimal
    pending_qty: Decimal
    limit: Decimal | None = None
    avg_fill_price: Decimal | None = None


class StrategyValue(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a strategy as texts, by name; those of its class under ``class``."""

    at_ns: int
    parameters: dict[str, str]


class ViewValue(msgspec.Struct, frozen=True, kw_only=True):
    """The view of a session, as the text of its file ``view.json``."""

    at_ns: int
    json: str


CacheValue: TypeAlias = PriceValue | PositionValue | BookValue | RiskValue | OrderValue | StrategyValue | ViewValue


class HashWrite(msgspec.Struct, frozen=True):
    """Fields, at least one, that replace all of ``key``, which expires ``ttl_ms`` after the write (at least 1)."""

    key: str
    fields: Fields
    ttl_ms: int


class LevelsWrite(msgspec.Struct, frozen=True):
    """Levels that replace the sorted sets ``key:bid`` and ``key:ask``, and fields that replace the hash ``key``.

    The three are written at once and expire together; there is at least one field. A member is ``price:volume`` and
    its score the price, so that the best levels come out by price.
    """

    key: str
    bids: Sequence[tuple[str, str]]
    asks: Sequence[tuple[str, str]]
    fields: Fields
    ttl_ms: int


class LevelsRead(msgspec.Struct, frozen=True):
    """Levels as texts of price and volume, the best first, and the fields that were written with them."""

    bids: Sequence[tuple[str, str]]
    asks: Sequence[tuple[str, str]]
    fields: Fields


CacheWrite: TypeAlias = HashWrite | LevelsWrite


class PoolUse(msgspec.Struct, frozen=True):
    """Connections in use, and how many there may be; 0 of 0 where there are none."""

    in_use: int = 0
    most: int = 0


class CacheClient(Protocol):
    """A store of texts that expire by themselves, by key; of a server, or in memory.

    A write replaces a value and sets its lifetime in one step, so that no key is without one. Keys of one symbol
    hold it in braces, so that a cluster keeps them together. Every method is a coroutine of the loop on which
    :meth:`open` was awaited, has a deadline of some 100 ms, and raises :class:`~qts.errors.Unavailable` when there
    is no answer in that time: whether a write happened is unknown then, and a repeat changes nothing more. It
    raises InputError for what the server refuses and only a person can put right, such as a right that is lacking.
    """

    @property
    def server(self) -> str:
        """Return name and version for people; "" before :meth:`open`."""
        ...

    @property
    def pool(self) -> PoolUse:
        """Return how many connections are in use now."""
        ...

    async def open(self) -> None:
        """Connect and look who answers.

        Raises InputError for a server that cannot be used: another program, too old, a wrong password, no right to
        write; the message names what was found, what is allowed and what to do. Unavailable when there is none.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections; may be called twice, and never raises Unavailable."""
        ...

    async def put(self, writes: Sequence[CacheWrite]) -> None:
        """Write all in one round trip, in their order; each one wholly or not at all.

        Raises InputError for one that is no such write, then none is written, and for one that the server refuses,
        such as for lack of memory.
        """
        ...

    async def get(self, key: str) -> Fields | None:
        """Return the fields of a hash; None when there is none, or it has expired.

        No field at all: another program has put something there that is no hash.
        """
        ...

    async def get_many(self, keys: Sequence[str]) -> Sequence[Fields | None]:
        """Return the fields of many hashes in one round trip, in the order of ``keys``."""
        ...

    async def levels(self, key: str, most: int) -> LevelsRead | None:
        """Return at most ``most`` levels of each side; None when there are none, or they have expired.

        No field at all: as of :meth:`get`.
        """
        ...

    async def levels_many(self, keys: Sequence[str], most: int) -> Sequence[LevelsRead | None]:
        """Return :meth:`levels` of many keys in one round trip, in the order of ``keys``."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove keys, also what :class:`LevelsWrite` has put beside them; one that is not there is no error."""
        ...

    async def count(self, key: str, member: str, ttl_ms: int) -> int:
        """Add ``member`` to the set ``key`` and return how many it has, in one step with its new lifetime.

        The same member again does not count again.
        """
        ...

    async def lock(self, key: str, token: str, ttl_ms: int) -> bool:
        """Take a short lock for ``token``; False while another one has it. It ends by itself after ``ttl_ms``."""
        ...

    async def unlock(self, key: str, token: str) -> None:
        """Let go of a lock, if ``token`` still has it."""
        ...

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the keys that begin with ``prefix``, piece by piece, never stopping the server.

        A key that comes or goes meanwhile may be in it or not; none is given twice.
        """
        ...

    async def flush(self, prefix: str) -> int:
        """Remove the keys that begin with ``prefix``, which is not "", and return how many; no others, ever."""
        ...
