"""Carries out an operator's flattening: sells what the strategies hold of a symbol or in a pool, and stops nothing.

What is sold is the quantity held when the command is executed. Entries, resting or new, stay as they are, and what
they buy is not sold by it. EXTERNAL shares belong to no strategy, so they are never sold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

from qts.capital.contracts import Pool
from qts.clock import from_ns
from qts.errors import InputError
from qts.execution.contracts import Fill, Order, OrderState
from qts.execution.protective.contracts import Origin
from qts.ledger.contracts import BookingRow, FillEffect, PositionRow, is_sale_taken_back
from qts.money import ZERO, magnitude, minus, negated, plus, without_zeros
from qts.runtime.control.commands import Answer, Flatten, FlattenedHolding, FlattenReport
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Side
from qts.wording import counted

_FOLLOWED: Final = 32
_NAMED: Final = 20
"""Most names that a refusal lists."""
Key = tuple[str, str]


class _Asked(NamedTuple):
    """A holding that is to be sold: its pool, and the quantity that was held, below 0 what is to be bought back."""

    pool: str
    qty: Decimal

    @property
    def side(self) -> Side:
        """Return the side of the orders that end it."""
        return Side.SELL if self.qty > 0 else Side.BUY

    def part(self, holding: Decimal) -> Decimal:
        """Return how much of it a signed quantity of the same holding is, at least 0."""
        return max(holding if self.qty > 0 else negated(holding), ZERO)

    def text(self, part: Decimal) -> str:
        """Return such a part as it is shown: of a holding that is short with a minus."""
        return _text(part if self.qty > 0 else minus(ZERO, part))


class FlattenProgress:
    """The progress of one flattening since it was requested.

    ``asked`` is what was held, by (strategy, symbol), ``sold`` what was sold of it, or bought back, at least 0.
    """

    def __init__(
        self,
        shared: SharedComponents,
        asked: Mapping[Key, _Asked],
        sold: Mapping[Key, Decimal] = MappingProxyType({}),
    ) -> None:
        self._shared = shared
        self._asked = asked
        self._sold = dict.fromkeys(asked, ZERO) | dict(sold)
        self._taken_back: set[Key] = set()

    def on_fill(self, fill: Fill, order: Order) -> None:
        """Add a sale of one of the holdings, or a purchase of what is short."""
        key = order.strategy, order.symbol
        if key in self._sold and fill.side is self._asked[key].side:
            self._sold[key] = plus(self._sold[key], fill.qty)

    def on_taken_back(self, row: BookingRow) -> None:
        """Take a sale off again that the broker has taken back."""
        key = row.strategy, row.symbol
        if key in self._sold and self._asked[key].qty > 0:
            self._sold[key] = max(minus(self._sold[key], row.qty), ZERO)
            self._taken_back.add(key)

    def report(self) -> FlattenReport:
        """Return what was sold of each holding, what is left of it and what it waits for."""
        rows = [self._row(key, row) for key, row in self._asked.items()]
        is_over = [row.left == "0" or not self._goes_on(key) for key, row in zip(self._asked, rows, strict=True)]
        return FlattenReport(tuple(rows), all(is_over))

    def _goes_on(self, key: Key) -> bool:
        p = self._shared
        return key in p.protective or p.protective.part(key, Origin.OPERATOR) is not None

    def _row(self, key: Key, row: _Asked) -> FlattenedHolding:
        held, asked = row.part(self._shared.account.holding(*key)), magnitude(row.qty)
        sold = min(self._sold[key], asked)
        one = self._shared.protective.part(key, Origin.OPERATOR)
        left = min(minus(asked, sold) if one is None or one.left is None else row.part(one.left), held)
        return FlattenedHolding(
            *key[:1], row.pool, key[1], _text(row.qty), row.text(sold), row.text(left), row.text(held),
            self._why(key, row.side) if left else "",
        )  # fmt: skip

    def _why(self, key: Key, side: Side) -> str:
        """Return what a holding waits for, in words."""
        p, one = self._shared, self._shared.protective.part(key, Origin.OPERATOR)
        if one is None and key not in p.protective:
            if key in self._taken_back:
                return "the broker has taken a sale back after it had ended"
            return "a stop that keeps what is held has ended it"
        leaving = [order for order in p.orders.of(*key) if order.side is side]
        if leaving:
            first = leaving[0]
            name = f"order {first.client_order_id} over {_text(first.remaining)}"
            if first.state is OrderState.UNKNOWN:
                return f"the fate of {name} is unknown; the broker is being asked"
            does = "sells" if side is Side.SELL else "buys back"
            return f"{name} {does if first.forced else 'is being cancelled'} ({first.state.value})"
        if one is not None and one.why:
            return one.why
        return p.protective.reason_of(*key) if key in p.protective else ""


class Flattens:
    """The flattenings of a session: each is checked, requested and followed here. For the session's thread.

    ``pools`` is the pool of each strategy of the session: a holding of none of them is not sold. ``on_begun`` is
    called when orders may leave.
    """

    def __init__(
        self,
        shared: SharedComponents,
        exits: ProtectiveOrders,
        pools: Mapping[str, Pool],
        on_begun: Callable[[], object],
    ) -> None:
        self._shared = shared
        self._exits = exits
        self._pools = pools
        self._on_begun = on_begun
        self._followed: deque[FlattenProgress] = deque(maxlen=_FOLLOWED)

    async def execute(self, command: Flatten) -> tuple[Answer, FlattenProgress]:
        """Request the sales, have the request on disk, let them begin; return the answer and the progress.

        Raises InputError, with nothing sold, for a name that is not there or means two things, and where nothing is
        held; StorageError when the store has failed.
        """
        what, rows = self._meant(command)
        reason = f"flatten {what} by {command.operator}: {command.reason}"
        asked = {(row.strategy, row.symbol): _Asked(row.pool.value, row.qty) for row in rows}
        for key, row in asked.items():
            self._exits.request_part(*key, Origin.OPERATOR, row.qty, reason)
        progress = FlattenProgress(self._shared, asked)
        self._followed.append(progress)
        await self._shared.record.checkpoint()  # a restart goes on with all of it, or with none of it
        self._exits.begin_parts(asked, self._shared.clock.time_ns())
        self._on_begun()
        held = ", ".join(f"{row.strategy} {_text(row.qty)} {row.symbol}" for row in rows)
        what_happens = "sold" if all(row.qty > 0 for row in rows) else "sold, or bought back where it is short"
        answer = f"{counted(len(rows), 'holding')} of {what} to be {what_happens}: {held}{self._closed(rows)}"
        return Answer(done=True, answer=answer, flatten=progress.report()), progress

    def follow_again(self, last: FlattenReport) -> FlattenProgress:
        """Return the progress of a flattening that an earlier process began; ``last`` is what that one told of it.

        One that is open goes on with what is left of it. One that is not has sold everything, unless a stop is in
        force there, which may have ended it.
        """
        asked, sold = {}, {}
        for row in last.holdings:
            key, qty = (row.strategy, row.symbol), Decimal(row.asked)
            asked[key] = _Asked(row.pool, qty)
            sold[key] = max(minus(magnitude(qty), self._left(key, row, asked[key])), ZERO)
        progress = FlattenProgress(self._shared, asked, sold)
        self._followed.append(progress)
        return progress

    def _left(self, key: Key, last: FlattenedHolding, asked: _Asked) -> Decimal:
        p, one = self._shared, self._shared.protective.part(key, Origin.OPERATOR)
        if one is not None and one.left is not None:
            return asked.part(one.left)
        is_stopped = not p.safety.is_trading_allowed or p.stops.covering(*key, last.pool) is not None
        if not (is_stopped or key in p.protective):
            return ZERO
        return min(asked.part(Decimal(last.left)), asked.part(p.account.holding(*key)))

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Add a fill to the progress of the newest flattenings."""
        for progress in self._followed:
            progress.on_fill(fill, order)

    def on_booking(self, row: BookingRow) -> None:
        """Correct the progress of the newest flattenings by a sale that the broker has taken back."""
        if is_sale_taken_back(row):
            for progress in self._followed:
                progress.on_taken_back(row)

    def _meant(self, command: Flatten) -> tuple[str, Sequence[PositionRow]]:
        """Return what the command means, in words, and the holdings of it. Raises InputError like `execute`."""
        given = [one for one in (command.name, command.symbol, command.pool) if one]
        if len(given) != 1:
            raise InputError(f"flatten takes one symbol or one pool, got {' and '.join(given) or 'none'}")
        (name,) = given
        rows = [row for row in self._shared.account.position_rows() if row.qty and row.strategy in self._pools]
        external = self._shared.account.external.positions()
        symbols = {*self._shared.feed.instruments, *(row.symbol for row in rows), *external}
        pools = {pool.value for pool in Pool}
        is_symbol = name in symbols and not command.pool
        is_pool = name in pools and not command.symbol
        if is_symbol and is_pool:
            raise InputError(
                f"{name} is a symbol and a pool; nothing was sold. Say --symbol {name} or --pool {name}"
            )
        if not (is_symbol or is_pool):
            kind = "symbol" if command.symbol else "pool" if command.pool else "symbol or pool"
            allowed = {"symbol": symbols, "pool": pools}.get(kind, symbols | pools)
            raise InputError(
                f"there is no {kind} {name} in this run; nothing was sold. There is: {_listed(allowed)}"
            )
        meant = [row for row in rows if name == (row.symbol if is_symbol else self._pools[row.strategy].value)]
        what = f"{'symbol' if is_symbol else 'pool'} {name}"
        if not meant:
            held = {f"{row.strategy} {_text(row.qty)} {row.symbol}" for row in rows}
            theirs = f"; EXTERNAL has {_text(external[name])}, which is not ours" if name in external else ""
            there = f"{_listed(held) or 'nothing'}{theirs}"
            raise InputError(f"no strategy holds anything of {what}; nothing was sold. Held: {there}")
        return what, sorted(meant, key=lambda row: (row.strategy, row.symbol))

    def _closed(self, rows: Sequence[PositionRow]) -> str:
        """Return which markets take no order now, as the end of a sentence; "" when all of them do."""
        closed = {}
        for symbol in dict.fromkeys(row.symbol for row in rows):
            instrument = self._shared.feed.instruments.get(symbol)
            phase = None if instrument is None else instrument.calendar.phase(from_ns(self._shared.clock.time_ns()))
            if phase is not None and not phase.takes_orders:
                closed[symbol] = phase.value
        if not closed:
            return ""
        named = ", ".join(f"{symbol} ({phase})" for symbol, phase in closed.items())
        return f"; the market takes no orders of {named}: they are sold when it does"


def _text(qty: Decimal) -> str:
    return f"{without_zeros(qty):f}"


def _listed(names: Collection[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")
