"""Orders, changes and cancels at KIS: each leaves once, and what was answered to it is remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Final, TypedDict

import msgspec

from qts.broker.contracts import BrokerOrder, Capabilities
from qts.broker.kis.account import KisAccount
from qts.broker.kis.answers import Reply
from qts.broker.kis.config import Exchange
from qts.broker.kis.known import VENUE, KnownOrders, Terms, ref_of
from qts.broker.kis.order_terms import (
    cancel_fields,
    exchange_of,
    is_after_market,
    order_fields,
    revise_fields,
    why_not,
)
from qts.broker.kis.pauses import Pause
from qts.broker.kis.rest import KisRest, NotSent
from qts.broker.kis.texts import Meaning, is_of_gateway, refusal_of
from qts.clock import Clock
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, OrderAck, VenueRef
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


class _Hours(TypedDict):
    is_live: bool
    after: bool


class _Number(msgspec.Struct, frozen=True):
    """The part of an answer to an order that names it; some answers have it in small letters."""

    ODNO: str = ""
    KRX_FWDG_ORD_ORGNO: str = ""
    odno: str = ""
    krx_fwdg_ord_orgno: str = ""


class KisOrders:
    """The messages about orders of one account. On one event loop.

    ``exchange``: where orders go that name none; ``capabilities``: what is taken here; ``account``: the questions
    about it. ``tell`` is called with a sentence for people about each refusal that is not known.
    """

    def __init__(
        self,
        rest: KisRest,
        clock: Clock,
        account: KisAccount,
        known: KnownOrders,
        capabilities: Capabilities,
        *,
        exchange: Exchange,
        pause: Pause,
        tell: Callable[[str], object],
    ) -> None:
        self._rest, self._clock, self._account, self._known = rest, clock, account, known
        self._capabilities = capabilities
        self._is_live = rest.access.is_live
        self._exchange: Exchange = exchange
        self._pause, self._tell = pause, tell
        self._answers: OrderedDict[str, OrderAck] = OrderedDict()

    async def place(self, approved: Approved) -> OrderAck:
        """Send one order, once; the answer to one that comes twice is the first one's."""
        request = approved.request
        key, exchange = request.client_order_id, request.venue or self._exchange
        known = self._answers.get(key)
        if known is not None:
            return known
        hours = self._hours()
        why = self._capabilities.lacks(request) or why_not(request, exchange, **hours)
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
        why = self._capabilities.lacks(request) or why_not(request, terms.exchange, **hours)
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
