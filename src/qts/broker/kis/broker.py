"""KIS as a broker: orders, changes and cancels, each sent once, and the books of the account."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Final, Protocol, TypedDict

import msgspec

from qts.broker.account_lock import AccountLock
from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.broker.kis.account import KisAccount
from qts.broker.kis.answers import Reply
from qts.broker.kis.config import Exchange
from qts.broker.kis.known import VENUE, KnownOrders, Terms, ref_of
from qts.broker.kis.order_terms import (
    cancel_fields,
    divisions,
    exchange_of,
    is_after_market,
    order_fields,
    revise_fields,
    why_not,
)
from qts.broker.kis.pauses import Pause
from qts.broker.kis.rest import KisRest, NotSent
from qts.broker.kis.texts import Meaning, is_of_gateway, refusal_of
from qts.clock import NS_PER_S, Clock
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, Fill, OrderAck, VenueRef
from qts.ledger.contracts import Charges
from qts.market.krx import KST
from qts.money import minus
from qts.risk.contracts import Approved, OrderRequest
from qts.strategy.contracts import Side

_ORDER: Final = "/uapi/domestic-stock/v1/trading/order-cash"
_CHANGE: Final = "/uapi/domestic-stock/v1/trading/order-rvsecncl"
_TR_IDS: Final = {
    (Side.BUY, True): "TTTC0012U",
    (Side.SELL, True): "TTTC0011U",
    (Side.BUY, False): "VTTC0012U",
    (Side.SELL, False): "VTTC0011U",
}
_CHANGE_TR_IDS: Final = {True: "TTTC0013U", False: "VTTC0013U"}
_LOOK_S: Final = 0.3
_MOST_LOOKS: Final = 10
"""How often, and how many times, is looked whether a part was taken out of an order."""
_MOST_ANSWERS: Final = 20_000
"""Answers to orders that are remembered, for one that comes twice."""


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


class _Hours(TypedDict):
    is_live: bool
    after: bool


class _Number(msgspec.Struct, frozen=True):
    """The part of an answer to an order that names it; some answers have it in small letters."""

    ODNO: str = ""
    KRX_FWDG_ORD_ORGNO: str = ""
    odno: str = ""
    krx_fwdg_ord_orgno: str = ""


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
        self._rest, self._clock, self._pause, self._lock = rest, clock, pause, lock
        self._is_live = rest.access.is_live
        self._exchange: Exchange = exchange if self._is_live else "KRX"
        self._known, self._notices, self._tell = known, notices, tell
        self._account = KisAccount(rest, clock, known)
        self._answers: OrderedDict[str, OrderAck] = OrderedDict()
        taken = divisions(self._exchange, is_live=self._is_live)
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
        request = approved.request
        key, exchange = request.client_order_id, request.venue or self._exchange
        known = self._answers.get(key)
        if known is not None:
            return known
        hours = self._hours()
        why = self.capabilities.lacks(request) or why_not(request, exchange, **hours)
        if why:
            return OrderAck(AckStatus.REJECTED, key, reason=why)
        self._remember(OrderAck(AckStatus.UNKNOWN, key, reason="it was sent before and has no answer"))
        at = exchange_of(exchange)
        fields = order_fields(request, at, **hours)
        terms = Terms(at, "", fields["ORD_DVSN"])
        ack = await self._send(
            _ORDER, _TR_IDS[request.side, self._is_live], fields, key, terms, f"send order {key}"
        )
        self._remember(ack)
        return ack

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Ask KIS to take out what is left of an order."""
        key = client_order_id
        terms = await self._terms_of(key, ref)
        if isinstance(terms, OrderAck):
            return terms
        assert ref is not None  # terms of it are known
        return await self._change(key, cancel_fields(ref.number, terms), terms, f"cancel order {key}")

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Change the price of what is left of an order; a smaller quantity is taken out first.

        KIS gives what is changed a new number, changes no quantity without the price, and makes none larger: such a
        request is REJECTED.
        """
        request, key = approved.request, approved.request.client_order_id
        terms = await self._terms_of(key, ref)
        if isinstance(terms, OrderAck):
            return terms
        assert ref is not None  # terms of it are known
        hours = self._hours()
        why = self.capabilities.lacks(request) or why_not(request, terms.exchange, **hours)
        if why:
            return OrderAck(AckStatus.REJECTED, key, reason=why)
        try:
            order = next((one for one in await self._account.orders() if one.ref == ref), None)
        except BrokerUnavailable as error:
            return OrderAck(AckStatus.REJECTED, key, reason=f"nothing was sent: {error}")
        why = _why_unchanged(request, order, ref)
        if why:
            return OrderAck(AckStatus.REJECTED, key, reason=why)
        assert order is not None  # it is open
        too_many = minus(order.qty, request.qty)
        if too_many:
            ack = await self._take_out(key, ref, terms, too_many, request.qty)
            if ack.status is not AckStatus.ACCEPTED:
                return ack
        fields = revise_fields(ref.number, terms, request, **hours)
        ack = await self._change(key, fields, terms, f"change order {client_order_id}")
        if too_many and ack.status is not AckStatus.ACCEPTED:
            ack = msgspec.structs.replace(ack, reason=f"{ack.reason}; {too_many} were taken out of it before")
        self._remember(ack)
        return ack

    async def _take_out(self, key: str, ref: VenueRef, terms: Terms, qty: Decimal, left: Decimal) -> OrderAck:
        """Take ``qty`` shares out of an order, and wait until the list shows that ``left`` are ordered.

        A change moves all that is left, so it may not overtake this.
        """
        fields = cancel_fields(ref.number, terms, qty)
        ack = await self._change(key, fields, terms, f"take {qty} out of order {ref.number}")
        if ack.status is not AckStatus.ACCEPTED:
            return ack
        for _ in range(_MOST_LOOKS):
            with suppress(BrokerUnavailable):
                order = next((one for one in await self._account.orders() if one.ref == ref), None)
                if order is not None and not order.is_open:
                    return OrderAck(AckStatus.REJECTED, key, reason=f"order {ref.number} has ended meanwhile")
                if order is not None and order.qty <= left:
                    return ack
            await self._pause(_LOOK_S)
        why = f"{qty} were asked to be taken out of order {ref.number}, which the list does not show yet"
        return OrderAck(AckStatus.REJECTED, key, reason=f"its price was not changed: {why}")

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

    # -- inside --------------------------------------------------------------------------------------------------

    def _hours(self) -> _Hours:
        """Return what decides which codes an order has now."""
        return {"is_live": self._is_live, "after": is_after_market(self._clock.now().astimezone(KST))}

    async def _terms_of(self, key: str, ref: VenueRef | None) -> Terms | OrderAck:
        """Return what a change of ``ref`` has to say, or why none is sent."""
        if ref is None:
            return OrderAck(AckStatus.UNKNOWN, key, reason="its number at KIS is not known")
        if ref.venue != VENUE or ref.day != self._account.today():
            return OrderAck(AckStatus.REJECTED, key, reason=f"KIS has no open order {ref.number} of {ref.day}")
        terms = self._known.terms(ref)
        if terms is None or terms.exchange == "SOR":  # after a restart, or sent on to another exchange
            try:
                await self._account.orders()
            except BrokerUnavailable as error:
                if terms is None:
                    return OrderAck(AckStatus.UNKNOWN, key, reason=f"nothing was sent: {error}")
            terms = self._known.terms(ref)
        # KIS itself says whether it has an order that its list does not show yet.
        return terms or Terms(self._exchange, self._known.branch, "00")

    async def _change(self, key: str, fields: dict[str, str], terms: Terms, what: str) -> OrderAck:
        said = Terms(terms.exchange, terms.branch, fields["ORD_DVSN"])
        return await self._send(_CHANGE, _CHANGE_TR_IDS[self._is_live], fields, key, said, what, is_change=True)

    async def _send(
        self,
        path: str,
        tr_id: str,
        fields: Mapping[str, str],
        key: str,
        terms: Terms,
        what: str,
        *,
        is_change: bool = False,
    ) -> OrderAck:
        try:
            reply = await self._rest.post(path, tr_id, {**self._account.fields(), **fields}, what)
        except NotSent as error:
            # A cancel that has not left says nothing of its order: it may be asked for again.
            status = AckStatus.UNKNOWN if is_change else AckStatus.REJECTED
            return OrderAck(status, key, reason=f"nothing was sent: {error}")
        except BrokerUnavailable as error:
            return OrderAck(AckStatus.UNKNOWN, key, reason=str(error))
        if reply.is_done:
            return self._accepted(reply, key, terms)
        meaning = refusal_of(reply)
        # A change that the gateway refused says nothing of the order: it may be asked for again.
        if meaning is None or (is_change and is_of_gateway(reply)):
            return OrderAck(AckStatus.UNKNOWN, key, reason=f"KIS: {reply.told}")
        assert reply.envelope is not None  # it was classified
        if meaning is Meaning.REJECTED_UNCLASSIFIED:
            self._tell(f"KIS has refused to {what} for a reason that is not known here: {reply.envelope.text}")
        return OrderAck(AckStatus.REJECTED, key, reason=f"{meaning.value} (KIS: {reply.envelope.text})")

    def _accepted(self, reply: Reply, key: str, terms: Terms) -> OrderAck:
        assert reply.envelope is not None  # it is done
        try:
            named = msgspec.json.decode(reply.envelope.output, type=_Number)
        except msgspec.DecodeError:
            named = _Number()
        ref = ref_of(self._account.today(), named.ODNO or named.odno)
        if not ref.number:
            return OrderAck(AckStatus.UNKNOWN, key, reason="KIS has taken it and names no number")
        branch = (named.KRX_FWDG_ORD_ORGNO or named.krx_fwdg_ord_orgno).strip() or terms.branch
        self._known.learn(ref, Terms(terms.exchange, branch, terms.division))
        return OrderAck(AckStatus.ACCEPTED, key, ref)

    def _remember(self, ack: OrderAck) -> None:
        self._answers[ack.client_order_id] = ack
        if len(self._answers) > _MOST_ANSWERS:
            self._answers.popitem(last=False)


def _why_unchanged(request: OrderRequest, order: BrokerOrder | None, ref: VenueRef) -> str:
    """Return why an order cannot be changed to ``request``; "" when it can."""
    if order is None or not order.is_open:
        return f"order {ref.number} is not open at KIS"
    if (order.symbol, order.side) != (request.symbol, request.side):
        return f"order {ref.number} is of another symbol or side"
    if request.qty > order.qty:
        return f"KIS makes no order larger: {order.qty} were ordered"
    if request.qty <= order.filled:
        return f"{order.filled} of it are executed already"
    if request.limit == order.limit:
        return "KIS changes an order at a new price only"
    return ""
