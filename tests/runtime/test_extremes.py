"""How far the account ever went: every price and every fill counts, in guards, result and checkpoint alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal as D
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.capital.contracts import Pool
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import Fill
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Bar, Instrument, MarketValue, Quote, Tick
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.last_values import LastValues
from qts.runtime.checks.price_bands import PriceBands
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.intake import Intake
from qts.runtime.metrics.extremes import Drawdown, Extremes, ExtremesRecord
from qts.runtime.session.result import extremes_of
from qts.runtime.session.session_view import ExtremesView
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

CENT = D("0.01")
OPENING = D(10_000)


def instrument(symbol: str) -> Instrument:
    return Instrument(symbol, "USD", CENT, D(1), FixedTicks(CENT), RateCosts("0", "0", CENT), AlwaysOpen())


class TrackedAccount:
    """An account, the values it sees and, beside the kept extremes, the whole course of equity and exposure."""

    def __init__(self) -> None:
        self.now_ns = 1
        self.account = Account(opening=OPENING, quantum=CENT, split={Pool.SCALP: D(1), Pool.SWING: D(1)})
        self.last = LastValues()
        self.clock = ManualClock(from_ns(0))
        exchange = SimExchange(
            last_values=self.last,
            instruments={name: instrument(name) for name in "AB"},
            clock=self.clock,
            publish=lambda report: None,
            rng=random.Random(1),
            config=SimConfig(),
        )
        self.worth = KeptValues(self.account, self.last)
        self.extremes = Extremes(self.worth, 0)
        no_bands = PriceBands({}, {})
        triggers: Any = SimpleNamespace(bound={}, bounds={})  # no position has a level
        self.intake = Intake(
            self.last, self.extremes, exchange, self.clock, no_bands, lambda code, why: None, triggers
        )
        self.fills = 0
        self.course = [(OPENING, D(0), 0)]
        self.day_from = [0]
        self.look_from = 0

    def show(self, value: MarketValue) -> None:
        self.intake.accept(value)
        self._write_down()

    def fill(self, side: Side, symbol: str, strategy: str, qty: int, price: D) -> None:
        self.fills += 1
        pool = Pool.SCALP if strategy == "one" else Pool.SWING
        fill = Fill("sim", f"f{self.fills}", "o", symbol, side, D(qty), price, D(1), D(0), self.now_ns, last=True)
        assert self.account.apply_fill(fill, strategy=strategy, pool=pool) is not None
        self.extremes.book_changed(self.now_ns)
        self._write_down()

    def new_day(self) -> None:
        self.extremes.start_day(self.now_ns)
        self.day_from.append(len(self.course) - 1)

    def _write_down(self) -> None:
        mark = self.last.mark
        self.course.append((self.account.equity(mark), self.account.exposure(mark), self.now_ns))
        self.now_ns += 1

    # what the course says, each from the whole of it

    def deepest(self) -> Fraction:
        return max(
            1 - Fraction(low) / Fraction(top)
            for i, (top, _, _) in enumerate(self.course)
            for low, _, _ in self.course[i:]
            if top == max(e for e, _, _ in self.course[: i + 1])
        )

    def worst_day(self) -> Fraction:
        worst = Fraction(0)
        for start, end in zip(self.day_from, [*self.day_from[1:], len(self.course) - 1], strict=True):
            opening = Fraction(self.course[start][0])
            worst = max(worst, *(1 - Fraction(equity) / opening for equity, _, _ in self.course[start : end + 1]))
        return worst


def share_of(fall: Drawdown) -> Fraction:
    return Fraction(fall.amount) / Fraction(fall.top.amount)


def price() -> st.SearchStrategy[D]:
    return st.integers(500, 2_000).map(lambda cents: D(cents) / 100)


def steps() -> st.SearchStrategy[list[tuple[Any, ...]]]:
    symbol = st.sampled_from("AB")
    one = st.one_of(
        st.tuples(st.just("quote"), symbol, st.one_of(st.none(), price()), price()),
        st.tuples(st.just("tick"), symbol, price()),
        st.tuples(st.just("bar"), symbol, price()),
        st.tuples(st.just("fill"), symbol, st.sampled_from(Side), st.sampled_from(["one", "two"]),
                  st.integers(1, 100), price()),
        st.tuples(st.just("look")),
        st.tuples(st.just("day")),
        st.tuples(st.just("restart")),
    )  # fmt: skip
    return st.lists(one, max_size=40)


def play(tracked: TrackedAccount, step: tuple[Any, ...]) -> None:
    kind, *rest = step
    if kind == "quote":
        symbol, bid, last = rest
        tracked.show(Quote(symbol, tracked.now_ns, bid=bid, last=last))
    elif kind == "tick":
        tracked.show(Tick(rest[0], tracked.now_ns, rest[1], D(1)))
    elif kind == "bar":
        tracked.show(Bar(rest[0], tracked.now_ns, rest[1], rest[1], rest[1], rest[1], D(1)))
    elif kind == "fill":
        symbol, side, strategy, qty, at = rest
        if side is Side.BUY or tracked.account.holding(strategy, symbol) >= qty:
            tracked.fill(side, symbol, strategy, qty, at)
    elif kind == "look":
        tracked.extremes.take_worst()
        tracked.look_from = len(tracked.course) - 1
    elif kind == "day":
        tracked.new_day()
    else:  # what a checkpoint keeps, taken back by an object that knows nothing
        kept = msgspec.msgpack.decode(
            msgspec.msgpack.Encoder(decimal_format="string").encode(tracked.extremes.export_state())
        )
        tracked.extremes.start_day(0)
        tracked.extremes.take_worst()
        tracked.extremes.import_state(kept)


@given(steps())
def test_the_extremes_are_those_of_the_whole_course(played: list[tuple[Any, ...]]) -> None:
    tracked = TrackedAccount()
    for step in played:
        play(tracked, step)

    noted, course = tracked.extremes.values, tracked.course
    tracked.extremes.take_worst()
    assert (noted.look.equity, noted.look.exposure) == course[-1][:2]
    equities = [equity for equity, _, _ in course]
    assert noted.highest.amount == max(equities)
    assert noted.lowest.amount == min(equities)
    assert noted.highest_exposure.amount == max(exposure for _, exposure, _ in course)
    assert share_of(noted.deepest) == tracked.deepest()
    assert share_of(noted.worst_day) == tracked.worst_day()
    top = noted.deepest.top
    peak = next(at for at, (equity, _, ns) in enumerate(course) if (equity, ns) == (top.amount, top.ts_ns))
    for point, begin in ((noted.highest, 0), (noted.lowest, 0), (noted.deepest.low, peak)):
        # each names its first moment, that of the deepest fall the first after its own top
        assert point.ts_ns == next(ns for equity, _, ns in course[begin:] if equity == point.amount)


@given(steps())
def test_a_look_hears_of_the_worst_since_the_last_one(played: list[tuple[Any, ...]]) -> None:
    tracked = TrackedAccount()
    for step in played:
        play(tracked, step)

    since = tracked.course[tracked.look_from :]
    seen = tracked.extremes.take_worst()
    assert seen.lowest_equity == min(equity for equity, _, _ in since)
    assert Fraction(seen.exposure) / Fraction(seen.equity) == max(
        Fraction(exposure) / Fraction(equity) for equity, exposure, _ in since
    )
    assert not tracked.extremes.has_moved


def test_nothing_is_asked_of_the_account_while_it_is_flat() -> None:
    tracked = TrackedAccount()
    tracked.show(Quote("A", 1, bid=D(10)))
    assert tracked.extremes.held == {}
    tracked.fill(Side.BUY, "A", "one", 10, D(10))
    assert set(tracked.extremes.held) == {"A"}
    tracked.fill(Side.SELL, "A", "one", 10, D(10))
    assert tracked.extremes.held == {}


def test_falls_are_compared_as_shares() -> None:
    """From 10,000 down 100 (1 %), then, after a rise to 100 shares × 120, down 110 (0.9 %): the first is deeper."""
    tracked = TrackedAccount()
    tracked.show(Quote("A", 1, bid=D(20)))
    tracked.fill(Side.BUY, "A", "one", 100, D(20))  # a fee of 1: 9,999
    for bid in ("19.01", "41", "39.9"):  # 9,900; 12,099; 11,989
        tracked.show(Quote("A", tracked.now_ns, bid=D(bid)))

    noted = tracked.extremes.values
    told = extremes_of(
        ExtremesView(noted.highest, noted.lowest, noted.deepest, noted.worst_day, noted.highest_exposure), str
    )

    assert told["deepest_drawdown"] == {"share": "0.010000", "amount": "100", "from": "0", "to": "3"}
    assert told["highest_equity"] == {"amount": "12099", "at": "4"}
    assert told["highest_exposure"] == {"amount": "4100", "at": "4"}


# -- in a session ------------------------------------------------------------------------------------------------

FREE = {"risk.symbol_weight_limit": "0.9", "risk.position_size_limit": "1"}


def holding_200(rig_of: Callable[..., Rig]) -> Rig:
    """Thursday, a little after ten: 200 shares bought at 150,100, a day's opening equity of 100,000,000 won."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=FREE)
    scripted.wants(Side.BUY, qty=200)
    rig.quotes(kst(10), 3)
    assert rig.held() == 200
    return rig


def codes_of_day(rig: Rig, day: int) -> list[tuple[str, int]]:
    """Codes in the history of safety with the day of January."""
    rows = rig.store.safety_history()
    at = rig.shared.calendar.local_time
    return [
        (row.code, at(from_ns(row.ts_ns)).day) for row in rows if row.code and at(from_ns(row.ts_ns)).day == day
    ]


def test_a_loss_that_shows_in_the_last_seconds_is_told_on_that_day(rig_of: Callable[..., Rig]) -> None:
    """150,000 → 119,000 at 15:19:58: 200 × 31,000 = 6.2 million won, 6.2 % of the opening equity."""
    rig = holding_200(rig_of)
    rig.quote(kst(15, 18))  # the look of this minute still finds everything well
    rig.quote(kst(15, 19, 58), bid=119_000)

    rig.quote(kst(9, 1, day=23))

    assert ("FS052", 22) in codes_of_day(rig, 22)


def test_a_warning_that_shows_in_the_last_seconds_is_told_on_that_day(rig_of: Callable[..., Rig]) -> None:
    """150,000 → 134,000: 3.2 million won and the fee, more than 3 %."""
    rig = holding_200(rig_of)
    rig.quote(kst(15, 18))
    rig.quote(kst(15, 19, 58), bid=134_000)

    rig.quote(kst(9, 1, day=23))

    assert ("GR020", 22) in codes_of_day(rig, 22)


def test_the_last_value_of_a_replay_is_judged(rig_of: Callable[..., Rig]) -> None:
    rig = holding_200(rig_of)
    rig.quote(kst(15, 19, 58), bid=119_000)

    run_to_completion(rig.kernel.finish())

    assert rig.shared.safety.current_state is SafetyState.FAIL
    assert ("FS052", 22) in codes_of_day(rig, 22)


def test_a_low_between_two_looks_is_judged_at_the_next(rig_of: Callable[..., Rig]) -> None:
    """Within one minute the price falls by 31,000 and comes back; neither look sees it standing there."""
    rig = holding_200(rig_of)
    rig.quote(kst(11, 0, 0))
    rig.quote(kst(11, 0, 20), bid=119_000)
    rig.quote(kst(11, 0, 21), bid=150_000)

    rig.quote(kst(11, 1, 1))

    assert [code for code, _ in codes_of_day(rig, 22)] == ["FS052"]
    assert rig.shared.safety.current_state is SafetyState.FAIL


def test_a_low_of_yesterday_is_no_loss_of_today(rig_of: Callable[..., Rig]) -> None:
    rig = holding_200(rig_of)
    rig.quote(kst(15, 19, 58), bid=119_000)

    rig.quotes(kst(9, 1, day=23), 200, every_s=20)

    assert codes_of_day(rig, 23) == []
    assert rig.shared.safety.current_state is SafetyState.NORMAL


def test_what_was_judged_is_not_judged_again_before_each_scheduled_task(rig_of: Callable[..., Rig]) -> None:
    """The value of 11:01:01 came after that minute's look: it is judged at noon, and nothing repeats it."""
    rig = holding_200(rig_of)
    rig.quote(kst(11), bid=134_000)
    rig.quote(kst(11, 1, 1))
    before = rig.kernel.counters.codes_told

    run_to_completion(rig.kernel.close_day())

    assert rig.kernel.counters.codes_told == before + 1
    assert SYMBOL in rig.shared.extremes.held


def test_what_a_checkpoint_keeps_is_all_of_it() -> None:
    """A field that is added must be restored: every field of the notes is in the exported value."""
    assert set(ExtremesRecord.__struct_fields__) == set(
        msgspec.to_builtins(TrackedAccount().extremes.export_state())
    )


def test_a_holding_of_which_nothing_was_told_is_valued_at_its_last_price_from_the_next_look_on() -> None:
    # Given 10 A at 100, and 10 B at 20 that were booked without a word and are worth 25 by now
    tracked = TrackedAccount()
    tracked.fill(Side.BUY, "A", "one", 10, D(100))
    tracked.show(Quote("A", 2, bid=D(100)))
    late = Fill("sim", "late", "o", "B", Side.BUY, D(10), D(20), D(0), D(0), 3, last=True)
    tracked.account.apply_fill(late, strategy="two", pool=Pool.SWING)
    assert tracked.worth.equity() == OPENING - 1  # at cost; the first fill cost 1
    tracked.show(Quote("B", 4, bid=D(25)))
    # When the limits are checked
    tracked.extremes.take_worst()
    # Then it counts at its price, and so does the next one
    assert tracked.worth.equity() == OPENING - 1 + 50
    tracked.show(Quote("B", 5, bid=D(30)))
    assert tracked.worth.equity() == OPENING - 1 + 100
