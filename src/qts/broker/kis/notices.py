"""Notices of fills of the KIS websocket, decrypted and made into reports of the broker.

KIS numbers no executions, and may drop or repeat a notice: the books decide. So whatever cannot be used, or might
be only a part of the truth, is counted, told, and the books are asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from qts.broker.contracts import BrokerOrder
from qts.broker.kis.control import Registration
from qts.broker.kis.credentials import KisAccess
from qts.broker.kis.frame_record import NOTICE
from qts.broker.kis.known import KnownOrders, ref_of
from qts.broker.kis.layouts import NOTICES_LIVE, NOTICES_PAPER
from qts.broker.kis.notice_cipher import NoticeCipher
from qts.broker.kis.notice_record import WIDTHS, Action, NoticeRecord, read_notice
from qts.clock import Clock, from_ns
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, OrderCancelled, OrderRejected, VenueRef
from qts.market.contracts import Instrument
from qts.market.krx import KST
from qts.money import ZERO, plus, times
from qts.strategy.contracts import Side

_MOST: Final = 50_000
"""Notices and orders that are remembered: more than an account has in a day."""
_MOST_CHARACTERS: Final = 65_536
_PERSONAL: Final = frozenset({0, 1, 17})
"""The places of customer, account and name."""


class _Order:
    """The quantities of one number, as notices tell them: ordered (None: not told), executed, taken out."""

    __slots__ = ("executed", "ordered")

    def __init__(self) -> None:
        self.ordered: Decimal | None = None
        self.executed = ZERO


class KisNotices:
    """The notices of one account. It stands in two places: at the websocket, and at the broker as its ``Notices``.

    Frames are taken on the loop of the websocket. ``publish`` takes reports on any thread. ``ask_books`` is called
    on the websocket's loop where notices alone do not tell enough; a session sets it.
    """

    def __init__(
        self,
        access: KisAccess,
        instruments: Mapping[str, Instrument],
        known: KnownOrders,
        clock: Clock,
        publish: Callable[[ExecutionReport | BrokerDisconnect], object],
        tell: Callable[[str], object],
    ) -> None:
        self.registration: Registration | None = None
        """What to register for; None where no HTS ID was given."""
        self.ask_books: Callable[[], object] = lambda: None
        self.on_received: Callable[[int, str, str], object] = lambda ts_ns, kind, text: None
        """Called with each notice: when it came, its kind in the record, and its text without what is personal."""
        self.refused: dict[str, int] = {}
        """How many notices could not be used, by reason."""
        self.repeated = 0
        """How many notices came again, or were more than was ordered."""
        if access.hts_id:
            name = NOTICES_LIVE if access.is_live else NOTICES_PAPER
            self.registration = Registration(name, access.hts_id.reveal())
        else:
            tell(
                "no HTS ID of KIS is given, so no notices of fills come: fills are found by asking the books alone"
            )
        self._account = "".join(access.number.reveal())
        self._broker = access.name
        self._instruments, self._known = instruments, known
        self._clock, self._publish, self._tell = clock, publish, tell
        self._cipher: NoticeCipher | None = None
        self._connected_before = False
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._orders: OrderedDict[VenueRef, _Order] = OrderedDict()
        self._told: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- at the broker, on the gateway's loop --------------------------------------------------------------------

    async def open(self, orders: Sequence[BrokerOrder]) -> None:
        """Take note of the broker's loop, and of what was executed of ``orders`` before any notice came here.

        The websocket brings notices by itself, once the session has its feed.
        """
        self._loop = asyncio.get_running_loop()
        for order in orders:
            if order.is_open and order.ref not in self._orders:
                known = self._order(order.ref)
                known.ordered, known.executed = order.qty, order.filled

    async def close(self) -> None:
        """Forget the broker's loop."""
        self._loop = None

    # -- at the websocket ----------------------------------------------------------------------------------------

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        """Take key and iv of the notices of this connection."""
        try:
            self._cipher = NoticeCipher(key, iv)
        except ValueError as error:
            self._refuse("key", str(error))

    def on_connected(self) -> None:
        """Ask the books for what happened while there was no connection."""
        if self._connected_before:
            self.ask_books()
        self._connected_before = True

    def on_lost(self, reason: str) -> None:
        """Publish that the line is gone."""
        self._cipher = None
        self._publish(BrokerDisconnect(self._broker, f"the websocket was lost: {reason}", self._clock.time_ns()))

    def on_frame(self, text: str, ts_ns: int) -> None:
        """Take a frame of notices, and publish what it tells."""
        try:
            records = self._records(text)
        except ValueError as error:
            self._refuse(str(error).split(":")[0], str(error))
            return
        day = from_ns(ts_ns).astimezone(KST).date()
        for fields in records:
            try:
                record = read_notice(fields, day, ts_ns)
            except ValueError as error:
                self._refuse("content", str(error))
                continue
            if record.account != self._account:
                self._refuse("account", "it is about another account")
                continue
            self.on_received(
                ts_ns, NOTICE, "^".join("" if at in _PERSONAL else field for at, field in enumerate(fields))
            )
            self._take(record, day)

    def _records(self, text: str) -> list[list[str]]:
        """Return the fields of each record of a frame. Raises ValueError."""
        parts = text.split("|", 3)
        if len(parts) != 4 or len(text) > _MOST_CHARACTERS:
            raise ValueError("form: it is no frame")
        flag, _, count_text, body = parts
        if not (count_text.isascii() and count_text.isdigit() and 0 < int(count_text) < 1_000):
            raise ValueError(f"form: it has {count_text[:10]!a} records")
        if flag == "1":
            if self._cipher is None:
                raise ValueError("key: it is encrypted, and no key has come")
            try:
                body = self._cipher.decrypt(body)
            except ValueError as error:
                raise ValueError(f"cipher: {error}") from None
        fields, count = body.split("^"), int(count_text)
        width, rest = divmod(len(fields), count)
        if rest:
            raise ValueError(f"form: {len(fields)} fields in {count} records")
        if width not in WIDTHS:
            known = ", ".join(map(str, sorted(WIDTHS)))
            self._tell_once(f"a notice of KIS has {width} fields (known: {known}); its first ones are used")
        return [fields[start : start + width] for start in range(0, len(fields), width)]

    def _take(self, record: NoticeRecord, day: date) -> None:
        """Publish what one notice tells."""
        if record.key in self._seen:
            self.repeated += 1
            self.ask_books()
            return
        self._seen[record.key] = None
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        ref = ref_of(day, record.number)
        if record.exchange is not None:
            self._learn_exchange(ref, record)
        if record.is_fill:
            self._take_fill(record, ref)
        elif record.is_rejected:
            if record.action is Action.NEW:
                self._publish(
                    OrderRejected(self._broker, "", record.symbol, record.ts_ns, "KIS has refused it", ref=ref)
                )
            else:
                self.ask_books()
        elif record.acceptance == "1" or record.action is Action.REVISE:
            self._order(ref).ordered = record.ordered or record.qty
        else:
            self._take_end(record, ref, day)

    def _take_fill(self, record: NoticeRecord, ref: VenueRef) -> None:
        qty, price = record.qty, record.price
        if qty is None or price is None:
            self._refuse("content", "a fill has no quantity or no price")
            return
        order = self._order(ref)
        order.ordered = order.ordered or record.ordered
        executed = plus(order.executed, qty) if qty > 0 else order.executed
        if order.ordered is not None and executed > order.ordered:
            self.repeated += 1
            self._tell_once(f"a notice of order {record.number} would fill {executed:f} of {order.ordered:f}")
            self.ask_books()
            return
        order.executed = executed
        fee, tax = self._costs(record, qty, price)
        self._publish(
            Fill(
                broker=self._broker,
                execution_id="",
                client_order_id="",
                symbol=record.symbol,
                side=record.side,
                qty=qty,
                price=price,
                fee=fee,
                tax=tax,
                ts_ns=record.ts_ns,
                last=order.ordered is not None and executed == order.ordered,
                ref=ref,
            )
        )

    def _take_end(self, record: NoticeRecord, ref: VenueRef, day: date) -> None:
        """Publish that the rest of an order is out, where the notice proves that it is all of the rest."""
        about = ref_of(day, record.original) if record.action is Action.CANCEL else ref
        order = self._orders.get(about)
        is_whole = record.action is Action.NEW
        if not is_whole and order is not None and order.ordered is not None and record.qty is not None:
            is_whole = plus(order.executed, record.qty) == order.ordered
        if not is_whole:
            self.ask_books()
            return
        expired = record.action is Action.NEW
        reason = "its time was over" if expired else "cancelled"
        self._publish(
            OrderCancelled(self._broker, "", record.symbol, record.ts_ns, reason, expired=expired, ref=about)
        )

    def _order(self, ref: VenueRef) -> _Order:
        order = self._orders.get(ref)
        if order is None:
            order = self._orders[ref] = _Order()
            if len(self._orders) > _MOST:
                self._orders.popitem(last=False)
        return order

    def _costs(self, record: NoticeRecord, qty: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
        """Return fee and tax as the market's rules have them: KIS tells the sums of a day, after it."""
        instrument = self._instruments.get(record.symbol)
        if instrument is None or not (qty > 0 and price > 0):
            return ZERO, ZERO
        amount = times(qty, price)
        day = instrument.calendar.local_date(from_ns(record.ts_ns))
        costs = instrument.costs
        return costs.fee(amount, day), costs.tax(amount, is_sell=record.side is Side.SELL, day=day)

    def _learn_exchange(self, ref: VenueRef, record: NoticeRecord) -> None:
        """Let the broker know on which exchange an order is, for a cancel of it."""
        loop, exchange = self._loop, record.exchange
        if loop is not None and exchange is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._known.learn_exchange, ref, exchange)

    def _refuse(self, reason: str, why: str) -> None:
        """Count a notice that cannot be used, tell it once, and ask the books for what it has told."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
        self._tell_once(f"a notice of fills of KIS cannot be used: {why}; the books are asked")
        self.ask_books()

    def _tell_once(self, text: str) -> None:
        if text not in self._told and len(self._told) < 1_000:
            self._told.add(text)
            self._tell(text)
