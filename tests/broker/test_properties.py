"""What must hold for every course of a market: nothing is given away, nothing is lost, nothing is forgotten."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.sim.config import SimConfig
from qts.execution.contracts import AckStatus, Fill, OrderCancelled, OrderRejected
from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from tests.broker.exchange_rig import BUY, INSTANT, SELL, ExchangeRig

D = Decimal
NOISY = SimConfig(
    order_latency_ms=2,
    order_jitter_ms=2,
    cancel_latency_ms=2,
    cancel_jitter_ms=2,
    duplicate_fill_probability=0.2,
    lost_answer_probability=0.1,
    lost_order_probability=0.1,
    reject_probability=0.1,
    late_reject_probability=0.1,
    disconnect_probability=0.05,
    disconnect_ms=3,
    kept_fills=20,
    kept_orders=10,
    book_levels=4,
)
HONEST = SimConfig(order_latency_ms=2, order_jitter_ms=2, cancel_latency_ms=2, cancel_jitter_ms=2, book_levels=4)

prices = st.integers(95, 105)
sizes = st.integers(0, 12)
maybe_limit = st.none() | prices.map(str)
steps = st.one_of(
    st.tuples(st.just("place"), st.sampled_from([BUY, BUY, SELL]), st.integers(1, 15).map(str), maybe_limit),
    st.tuples(st.just("cancel"), st.integers(1, 8)),
    st.tuples(st.just("quote"), prices, sizes, st.integers(0, 3), sizes),
    st.tuples(st.just("quote"), prices, sizes, st.integers(1, 3), sizes),
    st.tuples(st.just("trade"), prices, st.integers(1, 20), st.sampled_from([True, False, None])),
    st.tuples(st.just("book"), prices, sizes, prices, sizes, st.booleans()),
    st.tuples(st.just("traded"), prices, sizes, st.integers(0, 3), sizes, prices, st.integers(0, 20)),
    st.tuples(st.just("row"), prices, st.integers(0, 500)),
    st.tuples(st.just("time"), st.integers(0, 5)),
)
courses = st.lists(steps, min_size=5, max_size=60)


def run(rig: ExchangeRig, step: tuple[Any, ...], number: int) -> Any:
    word, *rest = step
    if word == "place":
        side, qty, limit = rest
        return rig.place(f"o{number}", side, qty, limit, lives_ms=5)
    if word == "cancel":
        return rig.cancel(f"o{number - rest[0]}")
    if word == "quote":
        bid, bid_size, spread, ask_size = map(str, rest)
        return rig.quote(bid, bid_size, str(int(bid) + int(spread)), ask_size)
    if word == "traded":
        bid, bid_size, spread, ask_size, last, last_size = map(str, rest)
        return rig.traded_quote(bid, bid_size, str(int(bid) + int(spread)), ask_size, last, last_size)
    if word == "trade":
        return rig.trade(str(rest[0]), str(rest[1]), rest[2])
    if word == "book":
        bid, bid_size, ask, ask_size, snapshot = rest
        return rig.book({str(bid): str(bid_size)}, {str(ask): str(ask_size)}, snapshot=snapshot)
    if word == "row":
        return rig.row(str(rest[0]), str(rest[1]))
    return rig.exchange.on_time(rig.after(rest[0]))


class Witness:
    """An independent model: what was sent, what the market showed since, and what may follow from it."""

    def __init__(self, rig: ExchangeRig) -> None:
        self.rig = rig
        self.qty: dict[str, Decimal] = {}
        self.limit: dict[str, Decimal | None] = {}
        self.side: dict[str, Any] = {}
        self.sent_ns: dict[str, int] = {}
        self.filled: Counter[str] = Counter()
        self.ended: set[str] = set()
        self.held = D(0)
        self.heard = 0

    def sent(self, number: int, step: tuple[Any, ...], status: AckStatus) -> None:
        key = f"o{number}"
        _, side, qty, limit = step
        self.side[key], self.qty[key] = side, D(qty)
        self.limit[key] = None if limit is None else D(limit)
        self.sent_ns[key] = self.rig.clock.time_ns()
        if status is AckStatus.REJECTED:
            self.ended.add(key)

    def listen(self) -> list[Fill]:
        fresh = self.rig.reports[self.heard :]
        self.heard = len(self.rig.reports)
        fills = [report for report in fresh if isinstance(report, Fill)]
        for report in fresh:
            key = report.client_order_id
            assert key not in self.ended, "a report of an order that had ended"
            if isinstance(report, Fill):
                self.filled[key] += report.qty  # type: ignore[assignment]
                self.held += report.qty * self.side[key].sign
                assert self.filled[key] <= self.qty[key]
                assert report.last is (self.filled[key] == self.qty[key])
                assert report.ts_ns >= self.sent_ns[key] + 2_000_000, "a fill before the order had arrived"
                self._within_limit(report)
            if not isinstance(report, Fill) or report.last:
                self.ended.add(key)
        assert self.held >= 0, "long only"
        return fills

    def _within_limit(self, fill: Fill) -> None:
        limit = self.limit[fill.client_order_id]
        if limit is not None:
            assert fill.price <= limit if fill.side is BUY else fill.price >= limit


def offered(
    rig: ExchangeRig, value: Any, book: dict[bool, dict[Decimal, Decimal]], fill: Fill, limit: Decimal | None
) -> bool:
    """Whether the market offered the fill's price at this value (or traded or quoted through its limit)."""
    buying = fill.side is BUY
    if isinstance(value, Tick):
        reached = value.price <= fill.price if buying else value.price >= fill.price
        return value.price == fill.price or (limit == fill.price and reached)
    shown = dict(book[not buying])
    if isinstance(value, Quote):
        touch = value.ask if buying else value.bid
        if touch is None:
            return value.last == fill.price
        beyond = value.last_size and (value.last <= fill.price if buying else value.last >= fill.price)
        if beyond and limit == fill.price:
            return True
        shown[touch] = D(1)
        best = touch
    else:
        best = min(shown) if buying else max(shown)
    if fill.price in shown and (fill.price >= best if buying else fill.price <= best):
        return True
    return fill.price == limit and (best <= limit if buying else best >= limit)


@settings(max_examples=100, deadline=None)
@given(courses)
def test_no_fill_exceeds_its_order_its_limit_or_what_the_market_offered(course: list[tuple[Any, ...]]) -> None:
    rig = ExchangeRig(config=HONEST)
    witness = Witness(rig)
    book: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
    told: list[Any] = []
    tell = rig.tell

    def overhear(value: Any) -> None:
        told.append(value)
        tell(value)

    rig.tell = overhear  # type: ignore[method-assign]
    for number, step in enumerate(course):
        answer = run(rig, step, number)
        if step[0] == "place":
            witness.sent(number, step, answer.status)
        value = told[-1] if told else None
        if step[0] == "book":
            if value.snapshot:
                book = {True: {}, False: {}}
            for is_bid, levels in ((True, value.bids), (False, value.asks)):
                book[is_bid].update(levels)
                book[is_bid] = {price: size for price, size in book[is_bid].items() if size}
        for fill in witness.listen():
            assert offered(rig, value, book, fill, witness.limit[fill.client_order_id]), (fill, value)
        # three ways: the exchange's book, the report, and the exchange's own list of fills
        assert rig.positions == ({"SHARE": witness.held} if witness.held else {})
        assert set(rig.open) == set(witness.qty) - witness.ended


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.just("quote"), prices, sizes, st.integers(0, 3), sizes), max_size=25), st.integers(1, 60)
)
def test_never_more_is_taken_than_all_quotes_displayed(course: list[tuple[Any, ...]], qty: int) -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, str(qty))
    for number, step in enumerate(course):
        run(rig, step, number)
    displayed = sum(ask_size for _, _, _, _, ask_size in course)
    assert sum(fill.qty for fill in rig.fills) == min(qty, displayed)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.just("row"), prices, st.integers(0, 500)), max_size=25), st.integers(1, 60))
def test_snapshots_give_at_most_a_tenth_of_the_volume(course: list[tuple[Any, ...]], qty: int) -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, str(qty))
    for number, step in enumerate(course):
        run(rig, step, number)
    highest = max((volume for _, _, volume in course), default=0)
    assert sum(fill.qty for fill in rig.fills) * 10 <= highest


@settings(max_examples=100, deadline=None)
@given(courses, st.integers(0, 1000))
def test_an_exchange_imported_at_every_step_behaves_like_one_that_ran_through(
    course: list[tuple[Any, ...]], seed: int
) -> None:
    through = ExchangeRig(config=NOISY, seed=seed)
    resumed = ExchangeRig(config=NOISY, seed=seed)
    for number, step in enumerate(course):
        packed = msgspec.msgpack.encode(resumed.exchange.export_state())
        report, told, held = resumed.reports, resumed.last_values, resumed.disconnects
        fresh = ExchangeRig(config=NOISY, seed=seed + 1)  # another random stream: the state must bring its own
        fresh.clock = resumed.clock
        fresh = _rewired(fresh, told)
        fresh.exchange.import_state(msgspec.msgpack.decode(packed))
        fresh.reports.extend(report)
        fresh.disconnects.extend(held)
        resumed = fresh
        assert run(through, step, number) == run(resumed, step, number)
        assert through.reports == resumed.reports
        assert through.disconnects == resumed.disconnects
        assert through.exchange.due_ns == resumed.exchange.due_ns
        assert list(through.exchange.active) == list(resumed.exchange.active)
        assert through.exchange.export_state() == resumed.exchange.export_state()


class AttentiveExchange(ExchangeRig):
    """Its book looks at every quote, also while all orders are still travelling."""

    def tell(self, value: MarketValue) -> None:
        book = self.exchange.active.get(value.symbol)
        two_sided = isinstance(value, Quote) and value.bid is not None and value.ask is not None
        if book is not None and two_sided and not 0 < value.ask < value.bid:  # type: ignore[union-attr,operator]
            book.see(value)  # type: ignore[arg-type]
        super().tell(value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(steps, st.just(("again",))), max_size=60), st.sampled_from([HONEST, INSTANT]))
def test_quotes_that_no_order_has_arrived_for_change_nothing(
    course: list[tuple[Any, ...]], config: SimConfig
) -> None:
    rigs = ExchangeRig(config=config), AttentiveExchange(config=config)
    for number, step in enumerate(course):
        for rig in rigs:
            if step[0] != "again":
                run(rig, step, number)
            elif "SHARE" in rig.last_values.quotes:
                rig.tell(msgspec.structs.replace(rig.last_values.quotes["SHARE"], ts_ns=rig.clock.time_ns()))
        assert rigs[0].reports == rigs[1].reports


@settings(max_examples=100, deadline=None)
@given(courses, st.integers(0, 1000))
def test_with_every_fault_on_the_reports_still_add_up(course: list[tuple[Any, ...]], seed: int) -> None:
    rig = ExchangeRig(config=NOISY, seed=seed)
    for number, step in enumerate(course):
        run(rig, step, number)
    rig.exchange.on_time(rig.after(1_000))  # the line comes back and everything is told
    once = {fill.execution_id: fill for fill in rig.fills}
    held = sum((fill.qty * fill.side.sign for fill in once.values()), D(0))
    assert rig.positions == ({"SHARE": held} if held else {})
    kept = {fill.execution_id: fill for fill in done_fills(rig)}
    assert all(once[key] == fill for key, fill in kept.items())
    ends = Counter(n.client_order_id for n in rig.reports if isinstance(n, OrderCancelled | OrderRejected))
    assert all(count == 1 for count in ends.values())
    assert not set(ends) & set(rig.open)


def done_fills(rig: ExchangeRig) -> list[Fill]:
    return list(rig.exchange._fills.since(0))


def _rewired(rig: ExchangeRig, last_values: Any) -> ExchangeRig:
    """Give a fresh rig the clock and the table of another one, as a restarted kernel restores both."""
    rig.last_values = last_values
    exchange = rig.exchange
    exchange._clock = rig.clock
    exchange._last_values = last_values
    exchange._matcher._last_values = last_values
    return rig


def test_the_witness_would_notice_a_price_that_was_not_offered() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "1")
    rig.quote("99", "5", "100", "5")
    fill = rig.fills[0]
    empty: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
    quote = rig.last_values.quotes["SHARE"]
    assert offered(rig, quote, empty, fill, None)
    assert not offered(rig, quote, empty, msgspec.structs.replace(fill, price=D(99)), None)
    assert not offered(rig, BookUpdate("SHARE", 1, (), ()), {True: {}, False: {D(101): D(1)}}, fill, None)
