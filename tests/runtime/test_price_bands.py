"""A price that the market's own band makes impossible: an alarm, no valuation, no fill, no event, no base.

005930 by KRX rules: ±30 %, so around 150,000 from 105,000 to 195,000; two steps of the grid are left to rounding.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal as D
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.capital.contracts import Pool
from qts.clock import ManualClock, from_ns
from qts.db.contracts import RunRow
from qts.execution.contracts import OrderState
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Bar, BookUpdate, Instrument, MarketValue, Quote, Tick
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import KrxTicks, krx_instrument
from qts.market.last_values import LastValues
from qts.notes import in_english, in_korean
from qts.runtime.checks.price_bands import PriceBands, doubtful_rows, likely_split, notes_on_doubts
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.intake import Intake
from qts.runtime.metrics.extremes import Extremes
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.session.view_builder import view_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side

from .rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten

S = 1_000_000_000
BASE = D(150_000)
CRYPTO = Instrument(
    "COIN", "USD", D("0.01"), D(1), FixedTicks(D("0.01")), RateCosts("0", "0", D("0.01")), AlwaysOpen()
)


class BareIntake:
    """An intake with its tables, without the rest of a session; ``alarms`` keeps the codes raised."""

    def __init__(self, *, base: D | None = BASE) -> None:
        self.now_ns = kst(10)
        self.last = LastValues()
        self.clock = ManualClock(from_ns(self.now_ns))
        instruments = {SYMBOL: krx_instrument(SYMBOL), "COIN": CRYPTO}
        exchange = SimExchange(
            last_values=self.last,
            instruments=instruments,
            clock=self.clock,
            publish=lambda report: None,
            rng=random.Random(1),
            config=SimConfig(),
        )
        account = Account(opening=D(10**8), quantum=D(1), split={Pool.SCALP: D(1)})
        self.bases: dict[str, D] = {} if base is None else {SYMBOL: base}
        self.bands = PriceBands(instruments, self.bases)
        self.alarms: list[tuple[str, str]] = []
        extremes = Extremes(KeptValues(account, self.last), self.now_ns)
        on_code = lambda code, detail: self.alarms.append((code, detail))  # noqa: E731 - one line of wiring
        triggers: Any = SimpleNamespace(bound={}, bounds={})  # no position has a level
        self.intake = Intake(self.last, extremes, exchange, self.clock, self.bands, on_code, triggers)

    def show(self, value: MarketValue) -> bool:
        return self.intake.accept(value)

    def trade(self, price: D | int | str, symbol: str = SYMBOL) -> bool:
        self.now_ns += S
        return self.show(Tick(symbol, self.now_ns, D(price), D(1)))

    def next_day(self, day: int) -> None:
        """What a session does at a day's start: the last prices become the base."""
        self.now_ns = kst(9, day=day)
        for symbol in self.last.symbols():
            price = self.last.last_trade(symbol)
            assert price is not None
            self.bases[symbol] = price
        self.bands.start_day()


def quote(bid: int | None = None, ask: int | None = None, last: int | None = None) -> Quote:
    prices = {"bid": bid, "ask": ask, "last": last}
    return Quote(SYMBOL, kst(11), **{name: D(price) for name, price in prices.items() if price is not None})


def bar(low: int, high: int, *, opening: int = 150_000, close: int = 150_000) -> Bar:
    return Bar(SYMBOL, kst(15, 30), D(opening), D(high), D(low), D(close), D(1))


# What may be, and what may not.

inside = st.integers(104_800, 195_200).map(D)
outside = st.one_of(st.integers(1, 104_799), st.integers(195_201, 10**9)).map(D)


@given(st.lists(st.tuples(inside, inside, inside), min_size=1, max_size=40))
def test_no_tape_inside_the_band_is_refused(tape: list[tuple[D, D, D]]) -> None:
    bare = BareIntake()

    for bid, ask, last in tape:  # crossed ones too: that is another matter
        bare.now_ns += 2 * S
        assert bare.show(Quote(SYMBOL, bare.now_ns, bid=bid, ask=ask, last=last))
        assert bare.trade(last)
        assert bare.last.quotes[SYMBOL].bid == bid

    assert (bare.alarms, doubtful_rows(bare.bands)) == ([], {})


@given(st.lists(st.tuples(st.booleans(), inside, outside, st.sampled_from(["bid", "ask", "last", "trade"]))))
def test_no_price_outside_is_ever_in_a_table(tape: list[tuple[bool, D, D, str]]) -> None:
    bare = BareIntake()
    refused = 0

    for is_wrong, right, wrong, where in tape:
        bare.now_ns += S
        price = wrong if is_wrong else right
        value: MarketValue = Tick(SYMBOL, bare.now_ns, price, D(1))
        if where != "trade":
            sides = {"bid": right, "ask": right, "last": right} | {where: price}
            value = Quote(SYMBOL, bare.now_ns, **sides)
        assert bare.show(value) is not is_wrong
        refused += is_wrong
        assert bare.last.shown(SYMBOL) <= {right for _, right, _, _ in tape}
        assert bool(bare.bands.doubt_reason(SYMBOL)) is is_wrong

    assert len(bare.alarms) == (refused > 0)  # once a day
    assert sum(row["refused"] for row in doubtful_rows(bare.bands).values()) == refused
    assert bare.intake.rows == len(tape)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (quote(bid=105_000, ask=105_100), True),  # the lower limit
        (quote(ask=195_000), True),  # the upper one
        (quote(last=195_200), True),  # two steps: a rounded price around a rounded base
        (quote(last=195_201), False),
        (quote(bid=104_799), False),
        (quote(bid=104_800), True),
        (quote(bid=1_500_000, ask=150_100), False),  # crossed: the bid alone is wrong, and it would be the mark
        (quote(bid=150_000, ask=1_000), False),
        (quote(), True),
        (Quote(SYMBOL, kst(11), bid=D("NaN"), ask=BASE), False),
        (Tick(SYMBOL, kst(11), D("NaN"), D(1)), False),
        (Tick(SYMBOL, kst(11), D(0), D(1)), False),
        (bar(110_000, 190_000), True),
        (bar(3_000, 190_000), False),
        (bar(110_000, 1_900_000), False),
        (bar(110_000, 190_000, opening=3_000), False),
        (bar(110_000, 190_000, close=3_000), False),
        (BookUpdate(SYMBOL, kst(11), [(D(150_000), D(1))], [(D(150_100), D(1))]), True),
        (BookUpdate(SYMBOL, kst(11), [(D(3_000), D(1))], []), False),
        (BookUpdate(SYMBOL, kst(11), [(D(3_000), D(0))], []), True),  # takes away what never was there
    ],
)
def test_both_sides_of_each_limit(value: MarketValue, fits: bool) -> None:
    assert BareIntake().show(value) is fits


def test_the_band_is_that_of_the_date() -> None:
    """±15 % until June 2015: 150,000 allowed 127,500 to 172,500."""
    then_ns = kst(10) - 3_876 * 86_400 * S  # 12 June 2015

    assert KrxTicks().band(BASE, date(2015, 6, 12)) == (D(127_500), D(172_500))
    assert not BareIntake().bands.accepts(Tick(SYMBOL, then_ns, D(180_000), D(1)))
    assert BareIntake().trade(180_000)  # 2026


def test_without_a_close_before_it_the_first_price_says_what_can_be() -> None:
    """129,000 may be +29 % of 100,000; the same day may then trade at 71,000, and never at 1,290,000 or 12,900."""
    bare = BareIntake(base=None)

    assert bare.trade(129_000)
    assert bare.trade(71_000)
    assert not bare.trade(1_290_000)
    assert not bare.trade(12_900)
    assert "around the day's first price 129000" in bare.bands.doubt_reason(SYMBOL)


def test_a_market_without_a_band_is_not_looked_at() -> None:
    bare = BareIntake()

    for price in ("100", "0.01", "1000000"):
        assert bare.trade(price, "COIN")
        assert bare.bands.bands["COIN"] is None
    assert (bare.alarms, bare.last.ticks["COIN"].price) == ([], D(1_000_000))


@pytest.mark.parametrize(
    ("base", "price", "split"),
    [
        (2_650_000, 53_000, "50:1"),
        (2_648_000, 51_700, "50:1"),
        (100_000, 52_000, "2:1"),
        (100_000, 38_000, "5:2"),
        (100_000, 1_000_000, "1:10"),
        (100_000, 205_000, "1:2"),
        (100_000, 100, ""),  # a thousandth is no usual split
        (100_000, 0, ""),
    ],
)
def test_the_split_that_a_price_looks_like(base: int, price: int, split: str) -> None:
    assert likely_split(D(base), D(price)) == split


# How doubt begins and ends.


def test_a_wrong_print_that_reverts_leaves_no_doubt_behind() -> None:
    bare = BareIntake()
    bare.trade(150_000)

    assert not bare.trade(15_000)
    assert bare.bands.doubt_reason(SYMBOL)
    assert bare.trade(149_900)

    assert bare.bands.doubt_reason(SYMBOL) == ""
    assert bare.last.ticks[SYMBOL].price == D(149_900)
    assert doubtful_rows(bare.bands) == {
        SYMBOL: {
            "first": "2026-01-22 10:00:02",
            "price": "15000",
            "band": ["105000", "195000"],
            "base": "150000",
            "ratio": "10:1",
            "refused": 1,
            "in_doubt": False,
        }
    }


def test_once_a_day_has_closed_a_price_that_may_have_climbed_back_is_not_believed() -> None:
    """150,000 became 95,000. Next day 110,000 fits 150,000 (from 105,000 up) and 95,000 (up to 123,500)."""
    bare = BareIntake()
    bare.trade(150_000)
    assert not bare.trade(95_000)
    bare.next_day(23)

    assert bare.bases[SYMBOL] == BASE  # not the new level
    assert not bare.trade(95_000)
    assert not bare.trade(110_000)
    assert bare.bands.doubt_reason(SYMBOL)
    assert len(bare.alarms) == 2


def test_what_the_doubtful_level_could_not_reach_ends_a_doubt_of_yesterday() -> None:
    """The last print of the day was wrong. 15,000 cannot be followed by 150,000: it was the mistake."""
    bare = BareIntake()
    bare.trade(150_000)
    assert not bare.trade(15_000)
    bare.next_day(23)

    assert bare.trade(148_000)
    assert bare.bands.doubt_reason(SYMBOL) == ""


@pytest.mark.parametrize("nothing", ["NaN", "0", "Infinity"])
def test_what_is_no_price_at_all_at_a_days_end_leaves_no_doubt_for_the_next(nothing: str) -> None:
    bare = BareIntake()
    bare.trade(150_000)
    assert not bare.trade(nothing)
    bare.next_day(23)

    assert bare.trade(150_000)


def test_a_book_of_which_an_update_was_refused_counts_as_unknown() -> None:
    bare = BareIntake()
    exchange = bare.intake._venue
    book = BookUpdate(SYMBOL, kst(11), [(D(150_000), D(9))], [(D(150_100), D(9))], snapshot=True)
    bare.show(book)
    instrument_book = exchange._books[SYMBOL]
    assert instrument_book.export_state() != []
    whole = instrument_book.export_state()

    assert not bare.show(BookUpdate(SYMBOL, kst(11, 1), [(D(3_000), D(9))], []))

    assert instrument_book.export_state() != whole


# In a session.


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, ScriptedStrategy(), settings={"risk.symbol_weight_limit": "0.9"})
    yield made
    made.close()


def the_strategy(rig: Rig) -> ScriptedStrategy:
    strategy = rig.kernel.host.contexts[0].strategy
    assert isinstance(strategy, ScriptedStrategy)
    return strategy


def held_over_a_split(rig: Rig) -> None:
    """Ten shares at 150,100; at the next day's open the price is a fiftieth."""
    with_ten(rig, the_strategy(rig))
    assert rig.held() == 10
    rig.quote(kst(10, day=23), 3_000, 3_005)


def asks(rig: Rig, side: Side, **more: Any) -> None:
    rig.kernel.signals.on_intent(the_strategy(rig), Intent(SYMBOL, side, 1.0, **more))
    rig.drain()


def codes(rig: Rig) -> list[str]:
    return [change.code for change in rig.shared.safety.history if change.code]


def test_a_split_that_was_held_is_an_alarm_and_no_loss(rig: Rig) -> None:
    with_ten(rig, the_strategy(rig))
    before = rig.shared.equity()
    heard = the_strategy(rig).quotes

    for minute in range(5):
        rig.quote(kst(10, minute, day=23), 3_000, 3_005)
    rig.quote(kst(10, day=26), 3_000, 3_005)  # Monday: yesterday's doubtful price is no base

    assert rig.shared.equity() == before
    assert the_strategy(rig).quotes == heard
    assert rig.shared.base_prices[SYMBOL] == D(150_000)
    assert rig.shared.safety.current_state is SafetyState.WARNING
    assert codes(rig) == ["AN001"] * 3  # once a day, and at the close of Friday
    told = next(change.reason for change in rig.shared.safety.history if change.code)
    for part in ("3000 at 2026-01-23 10:00:00", "105000 to 195000 around 150000", "(a 50:1 split?)"):
        assert part in told
    assert "Was the share split" in told
    assert "use adjusted prices, or cut the file at 2026-01-23" in told.replace("Use", "use")
    row = doubtful_rows(rig.shared.price_bands)[SYMBOL]
    assert (row["refused"], row["in_doubt"], row["ratio"]) == (6, True, "50:1")
    assert rig.shared.extremes.values.lowest.amount > D(99_990_000)  # the fee and the spread


def test_an_entry_in_doubt_is_refused_by_a_reason_of_its_own(rig: Rig) -> None:
    held_over_a_split(rig)

    asks(rig, Side.BUY, qty=1)

    assert rig.refusals() == {"PRICE_IN_DOUBT": 1}


def test_an_exit_may_be_asked_but_never_fills_at_such_a_price(rig: Rig) -> None:
    held_over_a_split(rig)

    asks(rig, Side.SELL)
    for minute in range(1, 6):
        rig.quote(kst(10, minute, day=23), 3_000, 3_005)
    (asked,) = [order.client_order_id for order in rig.shared.orders]
    rig.quote(kst(10, day=26), 3_000, 3_005)

    (exit_,) = [order for order in rig.orders() if order.client_order_id == asked]
    assert (exit_.side, exit_.filled, rig.held()) == (Side.SELL, D(0), 10)
    assert exit_.state is OrderState.CANCELLED  # with the day, as any order


def test_an_order_that_waits_fills_when_a_wrong_print_has_passed(rig: Rig) -> None:
    with_ten(rig, the_strategy(rig))
    asks(rig, Side.SELL)

    rig.quote(kst(10, 1), 15_000, 15_050)
    assert rig.held() == 10
    rig.quote(kst(10, 2), 149_900, 150_000)

    assert rig.held() == 0
    assert rig.orders()[-1].state is OrderState.FILLED
    assert rig.shared.account.cash == D(99_998_000) - sum_of_costs(rig)


def sum_of_costs(rig: Rig) -> D:
    return rig.shared.account.fees_total + rig.shared.account.taxes_total


def test_no_day_closes_on_a_doubt_about_what_is_held_without_a_word(rig: Rig) -> None:
    held_over_a_split(rig)
    rig.index(kst(15, 40, day=23), 6_000.0)

    assert codes(rig) == ["AN001", "AN001"]  # at the first such price and, cleared since, at the close
    assert "the day closes with 10 held, valued at 150000" in rig.shared.safety.history[-1].reason
    assert rig.shared.safety.current_state is SafetyState.WARNING

    rig.quote(kst(9, 1, day=26), 149_000, 149_100)  # 3,000 could not have become that
    rig.index(kst(15, 40, day=26), 6_000.0)
    assert rig.shared.safety.current_state is SafetyState.NORMAL


def test_the_checkpoint_carries_bands_and_doubts(rig: Rig, tmp_path: Path) -> None:
    held_over_a_split(rig)
    run_to_completion(rig.shared.record.checkpoint())
    saved = decode(rig.kernel.checkpoints.encode())["parts"]["price_bands"]

    other = PriceBands(rig.shared.feed.instruments, {})
    other.import_state(saved)

    assert other.export_state() == rig.shared.price_bands.export_state()
    assert other.bands == rig.shared.price_bands.bands
    assert other.doubt_reason(SYMBOL) == rig.shared.price_bands.doubt_reason(SYMBOL) != ""


# What people read.


def both(bands: PriceBands) -> Iterable[tuple[str, str]]:
    return [(in_english(note), in_korean(note)) for note in notes_on_doubts(bands, "KST")]


def test_the_view_tells_why_a_symbol_takes_no_entry(rig: Rig) -> None:
    held_over_a_split(rig)
    run = RunRow("rig", "test", 7, "script", "", "", False)

    (why,) = view_of(rig.kernel, run, "paper", "", rig.clock).no_entries
    assert why.startswith("005930: 3000 at 2026-01-23 10:00:00 is outside the day's band of 105000 to 195000")


def test_the_notes_in_both_languages() -> None:
    bare = BareIntake()
    bare.trade(150_000)
    bare.trade(3_000)
    bare.trade(3_005)
    assert both(bare.bands) == [
        (
            "prices: 005930: 3000 at 2026-01-22 10:00:02 KST is outside the day's band of 105000 to 195000 around "
            "150000 (a 50:1 split?); 2 values were refused, the symbol is in doubt and takes no entry. Was the "
            "share split, or did its rights go ex? Use adjusted prices, or cut the file at 2026-01-22",
            "불가능한 가격: 005930의 2026-01-22 10:00:02 KST 가격 3000은 150000 기준 당일 가격제한폭 "
            "105000~195000 밖입니다(50:1 분할?). 시세 2건을 제외했고, 가격을 믿을 수 없어 이 종목에 신규 진입하지 "
            "않습니다. 액면분할이나 권리락이 있었습니까? 수정주가를 쓰거나 파일을 2026-01-22에서 나누세요.",
        )
    ]

    bare.trade(150_000)
    assert both(bare.bands) == [
        (
            "prices: 005930: 3000 at 2026-01-22 10:00:02 KST is outside the day's band of 105000 to 195000 around "
            "150000 (a 50:1 split?); 2 values were refused, later prices were believed again",
            "불가능한 가격: 005930의 2026-01-22 10:00:02 KST 가격 3000은 150000 기준 당일 가격제한폭 "
            "105000~195000 밖입니다(50:1 분할?). 시세 2건을 제외했고, 이후 시세는 정상으로 돌아왔습니다.",
        )
    ]
