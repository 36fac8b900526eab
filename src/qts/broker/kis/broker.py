"""KIS as a broker: its lifetime, its orders (:mod:`qts.broker.kis.orders`), and the books of the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

from qts.broker.account_lock import AccountLock
from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.broker.kis.account import KisAccount
from qts.broker.kis.config import Exchange
from qts.broker.kis.known import KnownOrders
from qts.broker.kis.order_terms import (
    divisions,
)
from qts.broker.kis.orders import KisOrders
from qts.broker.kis.pauses import Pause
from qts.broker.kis.rest import KisRest
from qts.clock import NS_PER_S, Clock
from qts.execution.contracts import Fill, OrderAck, VenueRef
from qts.ledger.contracts import Charges
from qts.risk.contracts import Approved


class Notices(Protocol):
    """The notices of fills and ends, beside the answers to requests. Called on the gateway's loop."""

    async def open(self, orders: Sequence[BrokerOrder]) -> None:
        """Begin; ``orders`` are those of today, of which other notices have told. Raises BrokerUnavailable."""
        ...

    async def close(self) -> None:
        """Disconnect; never raises, and may be called twice, also before :meth:`open`."""
        ...


class NoNotices:
    """Stands in the place of :class:`Notices` where none are wanted: the lists of orders tell everything later."""

    async def open(self, orders: Sequence[BrokerOrder]) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class KisBroker:
    """One account at KIS, a :class:`~qts.broker.contracts.Broker`.

    ``exchange``: where orders go that name none. ``tell`` is called with a sentence for people about each refusal
    that is not known. KIS keeps no ids of its clients and numbers no executions: orders are known by their numbers,
    and what was executed by quantity and amount in all.
    """

    def __init__(
        self,
        rest: KisRest,
        clock: Clock,
        *,
        exchange: Exchange,
        requests_per_s: int,
        visibility_lag_s: int,
        known: KnownOrders,
        notices: Notices,
        lock: AccountLock | None = None,
        pause: Pause,
        tell: Callable[[str], object],
    ) -> None:
        self._rest, self._clock, self._lock, self._notices = rest, clock, lock, notices
        self._account = KisAccount(rest, clock, known)
        is_live = rest.access.is_live
        at: Exchange = exchange if is_live else "KRX"
        taken = divisions(at, is_live=is_live)
        self.name = rest.access.name
        """What it is called: kis-live or kis-paper."""
        self.capabilities = Capabilities(
            order_types=frozenset(kind for kind, _ in taken),
            times_in_force=frozenset(time for _, time in taken),
            client_order_ids=False,
            replaces=True,
            visibility_lag_ns=visibility_lag_s * NS_PER_S,
            requests_per_s=requests_per_s,
            execution_ids=False,
        )
        self._orders = KisOrders(
            rest, clock, self._account, known, self.capabilities, exchange=at, pause=pause, tell=tell
        )

    # -- lifetime ------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Get a token, ask for the account, and let notices come. Raises BrokerUnavailable.

        Also where another session trades the account.
        """
        if self._lock is not None:
            self._lock.take()
        await self._rest.tokens.token()
        await self._notices.open(await self._account.orders())

    async def close(self) -> None:
        """Close all connections; open orders stay as they are. Never raises."""
        await self._notices.close()
        await self._rest.close()
        if self._lock is not None:
            self._lock.release()

    # -- orders --------------------------------------------------------------------------------------------------

    async def place(self, approved: Approved) -> OrderAck:
        """Send one order, once; the answer to one that comes twice is the first one's."""
        return await self._orders.place(approved)

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Ask KIS to take out what is left of an order."""
        return await self._orders.cancel(client_order_id, ref)

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Change the price of what is left of an order; a smaller quantity is taken out first."""
        return await self._orders.replace(approved, client_order_id, ref)

    # -- books ---------------------------------------------------------------------------------------------------

    async def orders(self) -> Sequence[BrokerOrder]:
        """Return all orders of today, ended ones too. Raises BrokerUnavailable."""
        return await self._account.orders()

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        """Return nothing, without asking: KIS numbers no executions, and :meth:`orders` has their sums."""
        return ()

    async def positions(self) -> Mapping[str, BrokerPosition]:
        """Return what is held by symbol. Raises BrokerUnavailable."""
        return await self._account.positions()

    async def balance(self) -> Balance:
        """Return the money of the account. Raises BrokerUnavailable."""
        return await self._account.balance()

    async def holdings(self) -> Holdings:
        """Return shares and money of one reading of their list. Raises BrokerUnavailable."""
        return await self._account.holdings()

    async def charges(self, day: date) -> Charges | None:
        """Return fees and taxes of a day; None where KIS does not tell them. Raises BrokerUnavailable."""
        return await self._account.charges(day)

    async def time_ns(self) -> int | None:
        """Ask KIS what time it is: ns since 1970 (UTC), to half a second; None where it does not tell.

        Raises BrokerUnavailable.
        """
        await self._account.orderable()
        offset = self._rest.times.offset()
        return None if offset is None else self._clock.time_ns() - (offset.low_ns + offset.high_ns) // 2
