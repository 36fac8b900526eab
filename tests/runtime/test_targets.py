"""Targets: what is missing is ordered, once, and whatever works against it ends before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.db.contracts import Record
from qts.execution.contracts import Order, OrderState
from qts.execution.protective.contracts import Origin
from qts.execution.working import FINAL_STATES
from qts.market.actions import Split
from qts.market.contracts import Bar
from qts.strategy.contracts import FillView, Intent, Side, Signal
from qts.strategy.levels import Away, Levels
from qts.strategy.order_news import OrderNews, OrderStatus
from qts.strategy.order_terms import TimeInForce
from qts.strategy.targets import Cancel, Target
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]


class Told(ScriptedStrategy):
    """A scripted strategy that keeps what it is told of its orders, among its fills."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[OrderNews | FillView] = []

    def says(self, *wanted: Any) -> None:
        self.intents.extend(wanted)

    def on_bar(self, ctx: object, bar: Bar) -> list[Any]:
        intents, self.intents = self.intents, []
        return intents

    def on_fill(self, ctx: object, fill: FillView) -> None:
        self.told.append(fill)

    def on_order(self, ctx: object, news: OrderNews) -> None:
        self.told.append(news)

    @property
    def statuses(self) -> list[str]:
        return [one.status.value if isinstance(one, OrderNews) else "fill" for one in self.told]

    @property
    def last_news(self) -> OrderNews:
        return [one for one in self.told if isinstance(one, OrderNews)][-1]


@pytest.fixture
def strategy() -> Told:
    return Told()


@pytest.fixture
def rig(rig_of: MakeRig, strategy: Told) -> Rig:
    made = rig_of(strategy)
    made.quotes(kst(9, 59, 50), 1)
    return made


def sent(rig: Rig) -> list[tuple[Side, int, OrderState]]:
    return [(order.side, int(order.qty), order.state) for order in rig.orders()]


def newest(rig: Rig) -> Order:
    return rig.orders()[-1]


# -- reaching a target -------------------------------------------------------------------------------------------


def test_a_target_buys_what_is_missing_and_saying_it_again_changes_nothing(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 10))
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.held() == 10
    assert sent(rig) == [(Side.BUY, 10, OrderState.FILLED)]
    assert rig.kernel.counters.targets_reached == 1
    assert rig.refusals() == {}


def test_a_higher_target_buys_the_difference_and_a_lower_one_sells_it(rig: Rig, strategy: Told) -> None:
    now = kst(10)
    for wanted in (10, 25, 4):
        strategy.says(Target(SYMBOL, wanted))
        now = rig.quotes(now + 1_000_000_000, 3)
        assert rig.held() == wanted

    assert [(side, qty) for side, qty, _ in sent(rig)] == [(Side.BUY, 10), (Side.BUY, 15), (Side.SELL, 21)]


@pytest.mark.parametrize("nothing", [Target(SYMBOL, 0), Target(SYMBOL, weight=0)])
def test_nothing_sells_everything(rig: Rig, strategy: Told, nothing: Target) -> None:
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    strategy.says(nothing)
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.held() == 0


def test_what_works_already_is_not_ordered_again(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    rig.quotes(now + 1_000_000_000, 3)

    assert sent(rig) == [(Side.BUY, 10, OrderState.WORKING)]


def test_a_refused_target_heals_by_being_said_again(rig: Rig, strategy: Told) -> None:
    """Given a limit off the grid of 100 won, which is refused, then the same target at a price on it is reached."""
    strategy.says(Target(SYMBOL, 10, limit=150_150))
    now = rig.quotes(kst(10), 1)
    strategy.says(Target(SYMBOL, 10, limit=150_100))
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.refusals() == {"OFF_TICK_GRID": 1}
    assert rig.held() == 10


def test_the_terms_of_a_target_are_those_of_its_order(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=149_000, reason="dip", tag="first"))
    rig.quotes(kst(10), 1)

    order = newest(rig)
    assert (order.limit, order.reason, order.request.tag) == (Decimal(149_000), "dip", "first")


# -- weights -----------------------------------------------------------------------------------------------------


def test_a_weight_is_a_share_of_the_pools_equity_at_the_price_of_a_buy(rig: Rig, strategy: Told) -> None:
    """Given the pool of 40,000,000 won, a tenth of it is 4,000,000; at the limit of 151,600 that is 26 shares.

    The ask of 150,100 and the collar of 1 % are 151,601, on the grid of 100 won 151,600; 4,000,000 / 151,600 =
    26.4.
    """
    strategy.says(Target(SYMBOL, weight=0.1))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, weight=0.1))
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.held() == 26
    assert len(sent(rig)) == 1


def test_the_whole_equity_is_cut_to_what_can_be_paid_with_its_fee(rig_of: MakeRig, strategy: Told) -> None:
    """Given no other limit than the money, then it buys all that the pool can pay."""
    settings = {
        "risk.exposure_limit": "1",
        "risk.symbol_weight_limit": "1",
        "capital.pools": "one",
    }
    rig = rig_of(strategy, settings=settings)
    rig.quotes(kst(9, 59, 50), 1)
    strategy.says(Target(SYMBOL, weight=1))
    rig.quotes(kst(10), 3)

    assert rig.refusals() == {}
    assert rig.held() > 0
    one_more = (rig.held() + 1) * Decimal(151_600)
    assert one_more > rig.shared.equity()


# -- what works against it ---------------------------------------------------------------------------------------


def test_a_working_buy_is_cancelled_before_a_lower_target_is_reached(rig: Rig, strategy: Told) -> None:
    """Given 10 held and 20 more wanted at 149,000, when 5 are wanted, then the buy ends before 5 are sold."""
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30, limit=149_000))
    now = rig.quotes(now + 1_000_000_000, 3)
    strategy.says(Target(SYMBOL, 5))
    rig.quotes(now + 1_000_000_000, 5)

    assert sent(rig) == [
        (Side.BUY, 10, OrderState.FILLED),
        (Side.BUY, 20, OrderState.CANCELLED),
        (Side.SELL, 5, OrderState.FILLED),
    ]
    assert rig.held() == 5


def test_the_rest_of_a_higher_target_waits_for_the_working_buy(rig: Rig, strategy: Told) -> None:
    """Given a buy of 10 that waits at 149,000, when 30 are wanted there, then 20 follow once it has filled."""
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30, limit=149_000))
    now = rig.quotes(now + 1_000_000_000, 3)
    assert sent(rig) == [(Side.BUY, 10, OrderState.WORKING)]
    rig.quote(now + 1_000_000_000, 148_900, 149_000)
    rig.quote(now + 2_000_000_000, 148_900, 149_000)
    rig.quote(now + 3_000_000_000, 148_900, 149_000)

    assert [(side, qty) for side, qty, _ in sent(rig)] == [(Side.BUY, 10), (Side.BUY, 20)]
    assert rig.held() == 30


def test_a_newer_target_takes_the_place_of_one_that_waits(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30, limit=149_000))
    now = rig.quotes(now + 1_000_000_000, 1)
    strategy.says(Target(SYMBOL, 12, limit=149_000))
    now = rig.quotes(now + 1_000_000_000, 1)
    for seconds in range(1, 4):
        rig.quote(now + seconds * 1_000_000_000, 148_900, 149_000)

    assert rig.held() == 12


def test_a_waiting_target_is_in_the_checkpoint(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30, limit=149_000))
    now = rig.quotes(now + 1_000_000_000, 1)

    targets = rig.kernel.components.targets
    saved = targets.export_state()
    targets.import_state([])
    assert targets.export_state() == []
    targets.import_state(saved)
    for seconds in range(1, 4):
        rig.quote(now + seconds * 1_000_000_000, 148_900, 149_000)

    assert rig.held() == 30


@pytest.mark.parametrize(
    ("wanted", "stays"),
    [
        (Target(SYMBOL, 0), True),
        (Target(SYMBOL, weight=0.5, stop=Away(share=0.1)), True),
        (Target(SYMBOL, 30), False),
        (Target(SYMBOL, 0, limit=149_000), False),
        (Target(SYMBOL, weight=0.5, trail=Away(2_000)), False),
        (Target(SYMBOL, weight=0.5, stop=140_000), False),
    ],
    ids=["nothing", "weight", "quantity", "limit", "distance", "price"],
)
def test_a_split_ends_a_waiting_target_only_where_its_numbers_are_those_from_before(
    rig: Rig, strategy: Told, wanted: Target, stays: bool
) -> None:
    # Given a target that waits for the end of an order
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30, limit=149_000))
    rig.quotes(now + 1_000_000_000, 1)
    targets = rig.kernel.components.targets
    (waiting,) = targets.export_state()
    targets.import_state([waiting | {"intent": msgspec.to_builtins(wanted)}])
    # When the shares are split 50:1
    targets.on_action(Split(SYMBOL, date(2018, 5, 4), Decimal(50)), now)
    # Then it goes on waiting unless it named shares or prices
    assert bool(targets.export_state()) is stays


@pytest.mark.parametrize(
    "waiting",
    [
        Target(SYMBOL, 0, limit=190_000),
        Intent(SYMBOL, Side.SELL, 1.0, 10, 190_000),
        Intent(SYMBOL, Side.SELL, 1.0, 10, trigger=120_000),
        Intent(SYMBOL, Side.SELL, 1.0, 4, 120_000, trigger=121_000, tif=TimeInForce.GTC),
    ],
    ids=["target", "limit", "trigger", "trigger and limit"],
)
def test_a_target_of_nothing_does_not_wait_for_a_sale_that_may_never_come(
    rig: Rig, strategy: Told, waiting: Target | Intent
) -> None:
    # Given ten held, and a sale of them that waits far from the market
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    strategy.says(waiting)
    now = rig.quotes(now + 1_000_000_000, 3)
    assert newest(rig).state is OrderState.WORKING
    # When nothing is to be held
    strategy.says(Target(SYMBOL, 0))
    rig.quotes(now + 1_000_000_000, 5)
    # Then that sale ends and all is sold at the market
    assert [(side, state) for side, _, state in sent(rig)] == [
        (Side.BUY, OrderState.FILLED),
        (Side.SELL, OrderState.CANCELLED),
        (Side.SELL, OrderState.FILLED),
    ]
    assert rig.held() == 0


@pytest.mark.parametrize("limit", [None, 150_100], ids=["market", "another limit"])
def test_the_newest_target_says_at_which_price_is_bought(rig: Rig, strategy: Told, limit: int | None) -> None:
    # Given a buy that waits at 140,000 until it is cancelled
    strategy.says(Target(SYMBOL, 10, limit=140_000, tif=TimeInForce.GTC))
    now = rig.quotes(kst(10), 3)
    # When the same holding is wanted at the market, or at a limit above it
    strategy.says(Target(SYMBOL, 10, limit=limit))
    rig.quotes(now + 1_000_000_000, 5)
    # Then the old order is replaced, not waited for
    assert [(qty, state) for _, qty, state in sent(rig)] == [
        (10, OrderState.CANCELLED),
        (10, OrderState.FILLED),
    ]


def test_a_buy_at_the_market_is_not_replaced_by_the_same_target(rig: Rig, strategy: Told) -> None:
    # Given a market that offers ten shares
    # When thirty are wanted at the market, and wanted again at each quote, also after the price has risen past the
    # limit under which a market buy leaves
    strategy.says(Target(SYMBOL, 30))
    rig.quote(kst(10), 149_900, 150_000, size=10)
    for second, ask in enumerate((150_000, 151_000, 153_000), 1):
        strategy.says(Target(SYMBOL, 30))
        rig.quote(kst(10) + second * 1_000_000_000, ask - 100, ask, size=10)
    # Then there is the one order, filled in part
    assert [(side, qty) for side, qty, _ in sent(rig)] == [(Side.BUY, 30)]
    assert newest(rig).state is OrderState.PARTIAL


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        ((Target(SYMBOL, 10), Cancel(symbol=SYMBOL), Target(SYMBOL, 20)), 20),
        ((Cancel(symbol=SYMBOL), Target(SYMBOL, 10, limit=149_000), Cancel(symbol=SYMBOL)), 0),
        ((Intent(SYMBOL, Side.BUY, 1.0, 3, tag="a"), Cancel("a"), Intent(SYMBOL, Side.BUY, 1.0, 5, tag="a")), 5),
    ],
    ids=["target", "cancel", "intent"],
)
def test_the_last_word_of_one_call_counts(
    rig: Rig, strategy: Told, wanted: tuple[Target | Cancel | Intent, ...], held: int
) -> None:
    """A newer signal takes the place of one of its kind that still waits, but never ahead of a cancel before it."""
    strategy.says(*wanted)
    now = rig.quotes(kst(10), 3)
    rig.quote(now + 1_000_000_000, 148_900, 149_000)

    assert rig.held() == held
    assert all(order.state in FINAL_STATES for order in rig.orders())


def test_a_target_does_not_hinder_an_exit_of_the_rules(rig: Rig, strategy: Told) -> None:
    """Given ten shares that the rules are selling, then a target neither ends that order nor buys again."""
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    rig.kernel.exits.request("scripted", SYMBOL, Origin.HALTED, "a drill", now)
    rig.kernel.due.pending = True
    strategy.says(Target(SYMBOL, 10))
    rig.quotes(now + 1_000_000_000, 5)

    assert rig.held() == 0
    assert [(order.side, order.forced) for order in rig.orders()] == [(Side.BUY, False), (Side.SELL, True)]


@pytest.mark.parametrize("first", [(), (Cancel(symbol=SYMBOL),)], ids=["target", "cancel and target"])
def test_on_daily_bars_what_works_ends_at_once_and_the_rest_follows_in_the_next_bar(
    rig_of: MakeRig, strategy: Told, first: tuple[Cancel, ...]
) -> None:
    """Given a buy of 10 that waits below the market, when 5 are wanted at the close, then the next open buys 5.

    The market is closed from the end of the bar on, so an end that came any later would leave the target refused.
    """
    rig = rig_of(strategy)

    def show(day: int, *wanted: Target | Cancel) -> None:
        strategy.says(*wanted)
        price = Decimal(150_000)
        rig.show(Bar(SYMBOL, kst(15, 30, day=day), price, price, price, price, Decimal(1_000), "1d"))

    show(22, Target(SYMBOL, 10, limit=140_000, tif=TimeInForce.GTC))
    show(23, *first, Target(SYMBOL, 5))
    show(26)

    assert rig.held() == 5
    assert rig.refusals() == {}
    assert strategy.statuses == ["SENT", "CANCELLED", "SENT", "fill"]


# -- cancels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel", [Cancel("dip"), Cancel(symbol=SYMBOL)])
def test_a_cancel_takes_out_the_strategys_own_order(rig: Rig, strategy: Told, cancel: Cancel) -> None:
    strategy.says(Intent(SYMBOL, Side.BUY, 1.0, 10, 149_000, tag="dip"))
    now = rig.quotes(kst(10), 3)
    strategy.says(cancel)
    rig.quotes(now + 1_000_000_000, 3)

    assert sent(rig) == [(Side.BUY, 10, OrderState.CANCELLED)]
    assert strategy.statuses == ["SENT", "CANCELLED"]
    assert rig.kernel.counters.cancels_of_nothing == 0


def test_a_cancel_takes_out_a_waiting_target_too(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 30), Cancel(symbol=SYMBOL))
    rig.quotes(now + 1_000_000_000, 5)

    assert sent(rig) == [(Side.BUY, 10, OrderState.CANCELLED)]
    assert rig.held() == 0


def while_it_is_written(rig: Rig, happens: Callable[[], Any]) -> None:
    """Call ``happens`` while the next intent is on its way to the disk."""
    record = rig.shared.record
    write = record.write_intent

    async def meanwhile(records: Sequence[Record]) -> None:
        record.write_intent = write  # type: ignore[method-assign]
        await write(records)
        made = happens()
        if made is not None:
            await made

    record.write_intent = meanwhile  # type: ignore[method-assign]


def test_an_order_that_its_strategy_cancels_while_it_is_written_is_told_as_cancelled(
    rig: Rig, strategy: Told
) -> None:
    # Given an order of ten, which its strategy takes out while the intent goes to the disk
    targets = rig.kernel.components.targets
    while_it_is_written(rig, lambda: targets.cancel("scripted", Cancel(symbol=SYMBOL)))
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    rig.quotes(kst(10), 5)

    # Then it was never sent, nothing is held back, and the strategy is told of a cancelled order, not of a rule
    assert sent(rig) == [(Side.BUY, 10, OrderState.NOT_SENT)]
    assert rig.shared.account.open_reservations == ()
    assert strategy.statuses == ["CANCELLED"]
    news = strategy.last_news
    assert (news.order_id, news.detail) == (
        newest(rig).client_order_id,
        "withdrawn before it was sent: cancelled by scripted",
    )
    assert rig.refusals() == {"WITHDRAWN": 1}


def test_a_target_that_replaces_an_order_while_it_is_written_goes_on_at_once(rig: Rig, strategy: Told) -> None:
    # Given an order of ten far from the market, which another target replaces while the intent goes to the disk
    targets = rig.kernel.components.targets
    other = Signal("d-other", "scripted", Pool.SCALP, Target(SYMBOL, 3), kst(10))
    while_it_is_written(rig, lambda: targets.decide(other))
    strategy.says(Target(SYMBOL, 10, limit=149_000))
    rig.quotes(kst(10), 3)

    # Then the first is told as cancelled, and the second is bought without waiting for the minute's check
    assert strategy.statuses == ["CANCELLED", "SENT", "fill"]
    assert rig.held() == 3


def test_a_cancel_of_nothing_is_counted_and_nothing_else(rig: Rig, strategy: Told) -> None:
    strategy.says(Cancel("nothing"))
    rig.quotes(kst(10), 1)

    assert rig.kernel.counters.cancels_of_nothing == 1
    assert rig.refusals() == {}
    assert strategy.told == []


def test_a_tag_names_one_order_at_a_time(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 3)
    strategy.says(
        Intent(SYMBOL, Side.BUY, 1.0, 10, 149_000, tag="mine"),
        Intent(SYMBOL, Side.SELL, 1.0, 10, 152_000, tag="mine"),
    )
    rig.quotes(now + 1_000_000_000, 1)

    assert rig.refusals() == {"TAG_IN_USE": 1}
    assert strategy.last_news.detail == "scripted has an open order with the tag 'mine'"


# -- being told --------------------------------------------------------------------------------------------------


def test_an_order_is_told_before_its_fill(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, reason="in", tag="t"))
    rig.quotes(kst(10), 3)

    assert strategy.statuses == ["SENT", "fill"]
    news = strategy.last_news
    assert (news.sent, news.symbol, news.side, news.qty, news.filled) == (True, SYMBOL, Side.BUY, 10, 0)
    assert (news.tag, news.reason, news.order_id) == ("t", "in", newest(rig).client_order_id)


def test_a_refusal_is_told_with_its_rule_and_its_numbers(rig: Rig, strategy: Told) -> None:
    strategy.says(Target(SYMBOL, 10, limit=150_150, tag="t"))
    rig.quotes(kst(10), 1)

    news = strategy.last_news
    assert (news.status, news.reason) == (OrderStatus.REFUSED, "OFF_TICK_GRID")
    assert news.refused
    assert news.detail == "limit 150150 is not on the grid of 100"
    assert (news.tag, news.order_id) == ("t", "")


def test_an_order_that_expires_at_the_close_is_told(rig: Rig, strategy: Told) -> None:
    strategy.says(Intent(SYMBOL, Side.BUY, 1.0, 10, 149_000))
    rig.quotes(kst(10), 1)
    rig.quote(kst(15, 45))

    assert strategy.statuses == ["SENT", "EXPIRED"]
    assert strategy.last_news.expired


def test_a_rejected_order_is_told_and_its_target_heals(rig_of: MakeRig, strategy: Told) -> None:
    """Given a broker that rejects every order, then one that takes them, the second saying reaches the target."""
    rig = rig_of(strategy, settings={"broker.sim.reject_probability": "1", "risk.reject_wait_s": "1"})
    rig.quotes(kst(9, 59, 50), 1)
    strategy.says(Target(SYMBOL, 10))
    now = rig.quotes(kst(10), 2)
    assert strategy.statuses == ["SENT", "REJECTED"]
    assert "injected rejection" in strategy.last_news.detail

    rig.exchange._config = type(rig.exchange._config)(order_jitter_ms=0, cancel_jitter_ms=0)
    now = rig.quotes(now + 60_000_000_000, 1)
    strategy.says(Target(SYMBOL, 10))
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.held() == 10


def test_a_strategy_without_the_hook_is_not_called(rig_of: MakeRig) -> None:
    plain = ScriptedStrategy()
    rig = rig_of(plain)
    plain.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)

    assert not rig.kernel.host.hears_of_orders("scripted")
    assert rig.held() == 10


# -- levels and triggers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "reason", "says"),
    [
        ({"stop": 150_100}, "LEVEL_ON_WRONG_SIDE", "the stop at 150100 must be above 0 and below the price 150100"),
        ({"take": 150_000}, "LEVEL_ON_WRONG_SIDE", "the take at 150000 must be above the price 150100"),
        (
            {"stop": Away(200_000)},
            "LEVEL_ON_WRONG_SIDE",
            "the stop at -49900 (measured from 150100) must be above 0 and below the price 150100",
        ),
        ({"stop": 149_950}, "OFF_TICK_GRID", "the stop 149950 is not on the grid of 100"),
    ],
)
def test_a_level_that_would_act_at_once_refuses_the_whole_target(
    rig: Rig, strategy: Told, levels: dict[str, Any], reason: str, says: str
) -> None:
    strategy.says(Target(SYMBOL, 10, **levels))
    rig.quotes(kst(10), 3)

    assert rig.held() == 0
    assert rig.refusals() == {reason: 1}
    assert strategy.last_news.detail == says


class _Levels:
    """A keeper of levels that notes what it is asked."""

    def __init__(self) -> None:
        self.bound: list[tuple[str, str, Levels]] = []

    def bind(self, strategy: str, symbol: str, levels: Levels, now_ns: int) -> None:
        self.bound.append((strategy, symbol, levels))

    def drop_unneeded(self, strategy: str, symbol: str) -> None:
        """Keep everything."""


def test_levels_are_bound_also_when_nothing_is_missing(rig: Rig, strategy: Told) -> None:
    keeper = _Levels()
    rig.kernel.components.targets._levels = keeper
    strategy.says(Target(SYMBOL, 10, stop=149_000))
    now = rig.quotes(kst(10), 3)
    strategy.says(Target(SYMBOL, 10, stop=149_500, take=Away(share=0.1)))
    now = rig.quotes(now + 1_000_000_000, 1)
    strategy.says(Target(SYMBOL, 0))
    rig.quotes(now + 1_000_000_000, 1)

    assert keeper.bound == [
        ("scripted", SYMBOL, Levels(stop=149_000)),
        ("scripted", SYMBOL, Levels(stop=149_500, take=Away(share=0.1))),
    ]


def test_a_time_in_force_that_the_broker_lacks_is_refused(rig: Rig, strategy: Told) -> None:
    strategy.says(Intent(SYMBOL, Side.BUY, 1.0, 10, tif=TimeInForce.OPEN))
    rig.quotes(kst(10), 1)

    assert rig.refusals() == {"NOT_TAKEN_BY_BROKER": 1}
    assert strategy.last_news.detail == "orders with the time in force OPEN are not taken here"


def test_a_trigger_on_the_wrong_side_is_refused(rig: Rig, strategy: Told) -> None:
    strategy.says(Intent(SYMBOL, Side.BUY, 1.0, 10, trigger=150_000))
    rig.quotes(kst(10), 1)

    assert rig.orders() == []
    assert rig.refusals() == {"LEVEL_ON_WRONG_SIDE": 1}


def test_a_stop_sells_the_holding_and_is_told_before_its_fill(rig: Rig, strategy: Told) -> None:
    """Given ten shares with a stop at 149,000, when the bid falls to 148,900, then they are sold at that bid."""
    strategy.says(Target(SYMBOL, 10, stop=149_000))
    now = rig.quotes(kst(10), 3)
    for seconds in range(1, 4):
        rig.quote(now + seconds * 1_000_000_000, 148_900, 149_000)

    assert rig.held() == 0
    assert strategy.statuses == ["SENT", "fill", "STOPPED_OUT", "fill"]
    assert strategy.last_news.stopped_out
    assert strategy.last_news.reason == "stop 149000 reached at 148900"


def test_levels_end_with_a_purchase_that_was_never_received(rig_of: MakeRig, strategy: Told) -> None:
    # Given a target with levels whose order got no answer
    rig = rig_of(strategy, settings={"broker.sim.lost_order_probability": "1"})
    rig.quote(kst(9, 59, 50))
    strategy.says(Target(SYMBOL, 10, stop=149_000, take=151_000))
    rig.quote(kst(10))
    triggers = rig.kernel.triggers
    assert triggers.of("scripted", SYMBOL) is not None
    # When the broker's books have twice shown nothing of it
    rig.quote(kst(10, 1))
    rig.quote(kst(10, 2))
    # Then the levels are gone too, so that they cannot sell what another order buys later
    assert newest(rig).state is OrderState.NOT_SENT
    assert strategy.statuses == ["SENT", "REJECTED"]
    assert triggers.of("scripted", SYMBOL) is None
