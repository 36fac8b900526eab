"""The session's side of the publisher: what the session's thread hands over, and what it tells of the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from qts.cache.config import CacheConfig
from qts.clock import NS_PER_MS, NS_PER_S, Clock, stopwatch_ns
from qts.db.contracts import Record
from qts.event.contracts import EventPriority
from qts.market.depth_book import DepthBook
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.caching.committed_book import CommittedBook
from qts.runtime.caching.publisher import CachePublisher
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.caching.session_state import SessionState
from qts.runtime.caching.values import Depth, Standing
from qts.runtime.session.progress import Progress
from qts.strategy.params import values_of

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel

_LOOK_NS: Final = 20 * NS_PER_MS
"""Real time between two looks at what is not told: order books, and that the session goes on."""
_STANDING_NS: Final = 50 * NS_PER_MS
"""Real time between two standings behind commits."""
_TELL_NS: Final = NS_PER_S
_MOST_BOOKS: Final = 32
"""The symbols whose order books are looked at in one look, in rotation."""


@runtime_checkable
class ShowsDepth(Protocol):
    """A venue that keeps order books."""

    def depth_of(self, symbol: str) -> DepthBook | None:
        """Return the order book of a symbol, to look at; None where none is kept, or it is not known now."""
        ...


class PublishedSession(SessionCache):
    """A session that ``publisher`` makes known. ``machine`` is the machine's clock.

    ``tell`` takes what an operator has to know, such as that the cache is away, once for each episode.
    """

    def __init__(
        self, publisher: CachePublisher, config: CacheConfig, machine: Clock, tell: Callable[[str], None]
    ) -> None:
        self._publisher, self._config, self._machine, self._tell = publisher, config, machine, tell
        self._kernel: Kernel | None = None
        self._state: SessionState | None = None
        self._symbols: tuple[str, ...] = ()
        self._next_symbol = 0
        self._looked_ns = self._stood_ns = self._told_ns = 0

    def begin(self, kernel: Kernel) -> None:
        """Begin to make ``kernel``'s session known, which has started or was restored and takes no value yet."""
        shared = kernel.shared
        account, close = shared.account, shared.account.last_close
        state = SessionState(CommittedBook(self._config.queue), shared.last)
        today = shared.trade_date(shared.clock.time_ns())
        trades = account.fills_applied - (0 if close is None else close.fills)
        state.book.begin(account.position_rows(), tuple(shared.orders), today, trades)
        state.alive_ns = self._machine.time_ns()
        self._kernel, self._state = kernel, state
        self.strategies_changed()
        self._see_standing(kernel, state)
        self._publisher.begin(state)

    def committed(self, records: Sequence[Record]) -> None:
        """Implement :class:`~qts.runtime.caching.session_cache.SessionCache`, here and below."""
        kernel, state = self._kernel, self._state
        if kernel is None or state is None:
            return
        state.book.add(records)
        if stopwatch_ns() - self._stood_ns >= _STANDING_NS:
            self._see_standing(kernel, state)

    def strategies_changed(self) -> None:
        if self._kernel is None or self._state is None:
            return
        self._state.strategies = {
            one.strategy.name: {
                "class": type(one.strategy).__name__,
                **{name: str(value) for name, value in values_of(one.strategy).items()},
            }
            for one in self._kernel.host.contexts
        }

    def show(self, data: bytes) -> None:
        kernel, state = self._kernel, self._state
        if kernel is not None and state is not None:
            state.view = (self._machine.time_ns(), data)
            self._see_standing(kernel, state)  # about once a second, and at the end

    def along(self, progress: Progress) -> Progress:
        def observed(share: float | None, moment_ns: int, /) -> None:
            if stopwatch_ns() - self._looked_ns >= _LOOK_NS:
                self._look()
            progress(share, moment_ns)

        return observed

    def view(self) -> CacheView | None:
        return self._publisher.view

    def _look(self) -> None:
        """Note that the session goes on, take what is not told of, and pass on what the cache told."""
        self._looked_ns = now_ns = stopwatch_ns()
        kernel, state = self._kernel, self._state
        if kernel is None or state is None:
            return
        state.alive_ns = self._machine.time_ns()
        if not kernel.dispatcher.stats.is_waiting(EventPriority.P0_CRITICAL):
            self._see_depths(kernel, state)
        if now_ns - self._told_ns >= _TELL_NS:
            self._told_ns = now_ns
            for text in self._publisher.take_told():
                self._tell(text)

    def _see_standing(self, kernel: Kernel, state: SessionState) -> None:
        """Take what the account is worth, if the book has committed all that it has."""
        shared = kernel.shared
        if not shared.record.is_book_stored:
            return
        self._stood_ns = stopwatch_ns()
        # The state from its records: asking for it would end an override that has expired.
        history = shared.state.history
        operating = history[-1].to_state if history else shared.config.state.default_state
        equity = shared.equity()
        has_prices = all(mark is not None for mark in shared.worth.marks.values())
        state.standing = Standing(
            at_ns=self._machine.time_ns(),
            equity=equity,
            opening=shared.day.open_equity,
            exposure=shared.worth.exposure() if has_prices else None,
            trades=state.book.trades_of(shared.trade_date(shared.clock.time_ns())),
            limits=shared.gate.limits(operating),
        )

    def _see_depths(self, kernel: Kernel, state: SessionState) -> None:
        """Take the order books that have changed, of some of the symbols."""
        venue, instruments = kernel.venue, kernel.shared.feed.instruments
        if not isinstance(venue, ShowsDepth):
            return
        if len(self._symbols) != len(instruments):
            self._symbols, self._next_symbol = tuple(instruments), 0
        levels, depths, symbols = self._config.book_levels, state.depths, self._symbols
        for _ in range(min(_MOST_BOOKS, len(symbols))):
            symbol = symbols[self._next_symbol]
            self._next_symbol = (self._next_symbol + 1) % len(symbols)
            book, before = venue.depth_of(symbol), depths.get(symbol)
            if book is not None and (before is None or before.ts_ns != book.ts_ns):
                bids, asks = (tuple(islice(book.offers(is_buy), levels)) for is_buy in (False, True))
                depths[symbol] = Depth(book.ts_ns, bids, asks)
