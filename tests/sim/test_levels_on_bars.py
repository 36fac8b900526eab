"""Stops, takes and trails of positions on bars alone, by hand: which bar sells, at which price, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from qts.clock import to_ns
from qts.db.datadir import DATABASE_NAME
from qts.execution.contracts import Order, OrderState
from qts.kit import Away, Bar, Context, FillView, Intent, Side, Strategy, Target
from qts.market.actions import CorporateAction, Dividend, Split
from qts.market.contracts import Instrument
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.stores import stored_run
from tests.sim.bar_sessions import WIDE, BarFeed, day_bar
from tests.sim.level_tapes import instrument
from tests.sim.sessions import book_of, run
from tests.sim.split_session import ListFeed
from tests.sim.test_bars import SAMSUNG, krx_bars

COIN = instrument("COIN")
FIRST = datetime(2024, 8, 9, tzinfo=UTC)
"""The end of the first bar."""
Wants: TypeAlias = dict[int, Sequence[Target | Intent]]
"""What is wanted at the end of the n-th bar, from 0."""


class Scripted(Strategy):
    """Wants what a script says, and keeps what it sees in the order in which it came."""

    not_saved = ("wants", "seen")

    def __init__(self) -> None:
        self.wants: Wants = {}
        self.seen: list[str] = []
        self.bars = 0

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Target | Intent]:
        self.seen.append(f"bar {bar.close} holding {ctx.holding(bar.symbol)}")
        wants = self.wants.get(self.bars, ())
        self.bars += 1
        return wants

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.seen.append(f"{fill.side.value} {fill.qty} at {fill.price}")


class Session:
    """A session on bars; ``seen`` is what the strategy saw, ``orders`` are those that sold, oldest first."""

    def __init__(
        self,
        directory: Path,
        wants: Wants,
        bars: Sequence[Bar],
        symbols: Sequence[Instrument] = (COIN,),
        actions: Sequence[CorporateAction] = (),
        **settings: str,
    ) -> None:
        strategy = Scripted()
        strategy.wants = wants
        feed: Callable[[], BarFeed | ListFeed] = lambda: BarFeed(symbols, bars)  # noqa: E731
        if actions:
            feed = lambda: ListFeed(bars, actions, symbols)  # noqa: E731
        plan = SessionPlan(
            command="replay",
            options=Options(seed=7, data_dir=directory, overrides={**WIDE, **settings}),
            open_feed=feed,
            default_strategies=lambda: [strategy],
        )
        self.result = run(plan)
        assert not [name for name, one in self.result.values.invariants.items() if one["ok"] is False]
        self.seen = strategy.seen
        self.directory = directory
        with stored_run(directory / DATABASE_NAME) as store:
            sold = [order for order in store.orders() if order.side is Side.SELL]
        self.orders: list[Order] = sorted(sold, key=lambda one: (len(one.client_order_id), one.client_order_id))

    @property
    def fills(self) -> list[str]:
        return [line for line in self.seen if not line.startswith("bar")]

    @property
    def reasons(self) -> list[str]:
        return [order.reason for order in self.orders]


def coin(*texts: str, volume: int = 100_000) -> list[Bar]:
    return [day_bar("COIN", FIRST + timedelta(days=at), text, volume) for at, text in enumerate(texts)]


def buy(qty: int = 10, **levels: object) -> Wants:
    return {0: [Target("COIN", qty, **levels)]}  # type: ignore[arg-type]


CALM = "100 101 99 100"


# -- in which bar, at which price, before whom -------------------------------------------------------------------


def test_a_stop_sells_in_the_bar_that_reached_it_before_the_strategy_sees_the_bar(tmp_path: Path) -> None:
    # Given ten bought at the open of the second bar with a stop at 95, when the third falls to 90
    session = Session(tmp_path, buy(stop=95), coin(CALM, CALM, "100 101 90 98", CALM))
    # Then it has sold at 95 when the strategy sees that bar
    assert session.seen == [
        "bar 100 holding 0",
        "BUY 10 at 100",
        "bar 100 holding 10",
        "SELL 10 at 95",
        "bar 98 holding 0",
        "bar 100 holding 0",
    ]
    assert session.reasons == ["stop 95 reached at 95"]


@pytest.mark.parametrize(
    ("levels", "bar", "sold"),
    [
        ({"stop": 95}, "92 96 90 94", "SELL 10 at 92"),  # a gap: the first price there is
        ({"stop": 95}, "100 104 96 98", None),
        ({"take": 110}, "100 112 99 111", "SELL 10 at 110"),
        ({"take": 110}, "113 115 109 111", "SELL 10 at 113"),  # a gap up is better
        ({"stop": 95, "take": 110}, "100 112 94 111", "SELL 10 at 95"),  # both: the stop
        ({"stop": 95, "take": 110}, "111 112 94 100", "SELL 10 at 111"),  # the open was first
        ({"trail": Away(5)}, "100 120 97 118", None),  # 101 before it: the trail is 96
        ({"trail": Away(5)}, "100 120 96 118", "SELL 10 at 96"),
        ({"stop": Away(share=0.055)}, "100 101 94 98", "SELL 10 at 94"),  # 94.5 is put on the grid below
        ({"stop": 97, "trail": Away(5)}, "100 101 90 95", "SELL 10 at 97"),  # the higher one
    ],
)
def test_the_price_of_an_exit_in_a_bar(
    levels: dict[str, object], bar: str, sold: str | None, tmp_path: Path
) -> None:
    session = Session(tmp_path, buy(**levels), coin(CALM, CALM, bar))
    assert session.fills == ["BUY 10 at 100", *([] if sold is None else [sold])]


def test_a_purchase_at_the_open_is_protected_in_the_rest_of_its_bar(tmp_path: Path) -> None:
    session = Session(tmp_path, buy(stop=95), coin(CALM, "100 101 94 98", CALM))
    assert session.seen == [
        "bar 100 holding 0",
        "BUY 10 at 100",
        "SELL 10 at 95",
        "bar 98 holding 0",
        "bar 100 holding 0",
    ]


def test_a_strategy_may_enter_again_in_the_bar_that_has_stopped_it_out(tmp_path: Path) -> None:
    wants = buy(stop=95) | {1: [Target("COIN", 5)]}
    session = Session(tmp_path, wants, coin(CALM, "100 101 94 98", "97 99 90 98"))
    # And the levels of the position that is flat are not those of the next
    assert session.fills == ["BUY 10 at 100", "SELL 10 at 95", "BUY 5 at 97"]
    assert session.result.values.refusals == {}


def test_the_exit_of_a_daily_bar_is_no_matter_of_the_phase_at_its_end(tmp_path: Path) -> None:
    # Given 005930 bought at 50,300 with a stop 8 % below: 46,276, on the grid of 50 46,250
    prices = (
        "50000 50500 49500 50200",
        "50300 50800 50000 50600",
        "50100 50400 46000 49100",
        *["49400 49900 48000 49800"] * 3,
    )
    session = Session(
        tmp_path, {0: [Target("005930", 10, stop=Away(share=0.08))]}, krx_bars("005930", prices), [SAMSUNG]
    )
    assert session.fills == ["BUY 10 at 50300", "SELL 10 at 46250"]
    assert session.seen.index("SELL 10 at 46250") == session.seen.index("bar 49100 holding 0") - 1


# -- other orders of the same bar --------------------------------------------------------------------------------


def test_a_stop_comes_before_a_limit_that_the_same_bar_reached(tmp_path: Path) -> None:
    # Given ten with a stop at 95, of which the strategy offers all at 110, when a bar reaches both
    wants = buy(stop=95) | {1: [Intent("COIN", Side.SELL, 1.0, limit=110)]}
    session = Session(tmp_path, wants, coin(CALM, CALM, "100 112 94 111"))
    # Then the limit was cancelled inside the bar and all is sold at the stop
    assert session.fills == ["BUY 10 at 100", "SELL 10 at 95"]
    assert [(order.state, order.filled) for order in session.orders] == [
        (OrderState.CANCELLED, 0),
        (OrderState.FILLED, 10),
    ]


def test_a_limit_comes_before_a_take(tmp_path: Path) -> None:
    # Given ten with a take at 110, of which the strategy offers four at 105
    wants = buy(take=110) | {1: [Intent("COIN", Side.SELL, 1.0, qty=4, limit=105)]}
    session = Session(tmp_path, wants, coin(CALM, CALM, "100 112 99 111"))
    assert session.fills == ["BUY 10 at 100", "SELL 4 at 105", "SELL 6 at 110"]


def test_a_sale_at_the_open_comes_before_a_stop(tmp_path: Path) -> None:
    wants = buy(stop=95) | {1: [Target("COIN", 0)]}
    session = Session(tmp_path, wants, coin(CALM, CALM, "99 100 94 96"))
    assert session.fills == ["BUY 10 at 100", "SELL 10 at 99"]
    assert session.reasons == [""]


def test_a_purchase_inside_a_bar_is_protected_from_the_close_on(tmp_path: Path) -> None:
    # Given a limit at 98 that fills inside a bar which also falls to 90, with a stop at 95
    wants: Wants = {0: [Target("COIN", 10, limit=98, stop=95)]}
    # When that bar closes above the stop, then nothing says that the low came later
    calm = Session(tmp_path / "above", wants, coin(CALM, "100 101 90 97", "97 98 96 97"))
    assert calm.fills == ["BUY 10 at 98"]
    # When it closes at the stop, then the next open sells
    hit = Session(tmp_path / "at", wants, coin(CALM, "100 101 90 95", "97 98 96 97"))
    assert hit.fills == ["BUY 10 at 98", "SELL 10 at 97"]
    assert hit.reasons == ["stop 95 reached at 95"]


def test_a_purchase_inside_a_bar_leaves_the_stop_of_the_holding_and_delays_its_take(tmp_path: Path) -> None:
    # Given ten with a stop at 92 and a take at 108, and a bid for ten more at 97
    wants = buy(stop=92, take=108) | {1: [Intent("COIN", Side.BUY, 1.0, qty=10, limit=97)]}
    # When a bar reaches the bid and the take, then it is not known which came first
    session = Session(tmp_path / "take", wants, coin(CALM, CALM, "100 109 96 100", "100 109 99 100"))
    assert session.seen[3:] == ["BUY 10 at 97", "bar 100 holding 20", "SELL 20 at 108", "bar 100 holding 0"]
    # When it reaches the bid and the stop, then the stop sells, and the bid was cancelled for it
    session = Session(tmp_path / "stop", wants, coin(CALM, CALM, "100 101 91 100"))
    assert session.fills == ["BUY 10 at 100", "SELL 10 at 92"]


def test_what_the_volume_of_the_bar_leaves_goes_on_as_one_market_order_until_flat(tmp_path: Path) -> None:
    # Given ten with a stop at 95, and bars of which four shares can be sold each
    bars = [*coin(CALM, CALM), *coin(CALM, CALM, "100 101 90 95", "91 92 90 91", "90 91 89 90", volume=40)[2:]]
    session = Session(tmp_path, buy(stop=95), bars, **{"broker.sim.snapshot_participation": "0.1"})
    assert session.seen[3:] == [
        "SELL 4 at 95",
        "bar 95 holding 6",
        "SELL 4 at 91",
        "bar 91 holding 2",
        "SELL 2 at 90",
        "bar 90 holding 0",
    ]
    assert [(order.qty, order.filled) for order in session.orders] == [(10, 4), (6, 4), (2, 2)]
    assert set(session.reasons) == {"stop 95 reached at 95"}


def test_slippage_makes_stops_worse(tmp_path: Path) -> None:
    session = Session(
        tmp_path, buy(stop=95), coin(CALM, CALM, "100 101 90 95"), **{"broker.sim.slippage_ticks": "2"}
    )
    assert session.fills == ["BUY 10 at 102", "SELL 10 at 93"]


def test_where_orders_fill_at_closes_a_stop_still_sells_in_its_bar(tmp_path: Path) -> None:
    # Given bars of an hour, of which the second closes at 101, which a market buy may cost
    hours = [
        Bar("COIN", to_ns(FIRST + timedelta(hours=at)), *map(D, text.split()), D(1_000), "1h")
        for at, text in enumerate((CALM, "100 104 90 101", "101 102 96 97", "97 98 94 95"))
    ]
    session = Session(tmp_path, buy(stop=96), hours, **{"broker.sim.fill_on": "close"})
    # Then what was below the stop before the purchase is not looked at
    assert session.fills == ["BUY 10 at 101", "SELL 10 at 96"]


# -- splits and dividends ----------------------------------------------------------------------------------------


def test_levels_follow_a_split_and_a_dividend(tmp_path: Path) -> None:
    # Given ten bought at 100 with a stop at 91, a take 20 above and a trail of 30
    wants = buy(stop=91, take=Away(20), trail=Away(30))
    bars = coin(CALM, CALM, "100 110 98 108", "52 53 50 52", "52 53 44 50", "50 50 50 50")
    # When two shares come for one on the fourth day and 3 are paid on the fifth
    actions = (Split("COIN", date(2024, 8, 11), D(2)), Dividend("COIN", date(2024, 8, 12), D(3)))
    session = Session(tmp_path, wants, bars, actions=actions)
    # Then the stop is 45 after the split, rounded down from 45.5, and 42 after the dividend; the trail, 80 before
    # both, is 40 and 37: nothing is sold at 44
    assert session.fills == ["BUY 10 at 100"]
    # When it falls to 42
    low = [*bars[:-1], *coin(*[CALM] * 5, "45 46 41 43")[5:]]
    session = Session(tmp_path / "low", wants, low, actions=actions)
    assert session.fills == ["BUY 10 at 100", "SELL 20 at 42"]
    # And the take was at 57, of 60 after the split
    high = [*bars[:-1], *coin(*[CALM] * 5, "50 58 49 55")[5:]]
    session = Session(tmp_path / "high", wants, high, actions=actions)
    assert session.fills == ["BUY 10 at 100", "SELL 20 at 57"]


# -- what a run leaves -------------------------------------------------------------------------------------------


def test_the_same_run_twice_leaves_the_same_book(tmp_path: Path) -> None:
    wants = buy(stop=95, take=110) | {3: [Target("COIN", 4, trail=Away(share=0.05))]}
    bars = coin(CALM, CALM, "100 101 90 98", CALM, CALM, "100 120 99 119", "118 119 100 101")
    books = [book_of(Session(tmp_path / name, wants, bars).directory) for name in ("one", "two")]
    assert books[0] == books[1]
    assert len(books[0]["t_ledger"]) == 4


def test_bars_that_cannot_be_believed_reach_nothing(tmp_path: Path) -> None:
    bars = coin(CALM, CALM, "100 101 90 98", "90 80 95 85", CALM)
    bars[2] = msgspec.structs.replace(bars[2], volume=D(0))
    session = Session(tmp_path, buy(stop=95), bars)
    assert session.fills == ["BUY 10 at 100"]


@pytest.mark.parametrize(
    ("levels", "idle", "opens"),
    [({"stop": 48_000}, (36_000, 36_000), 30_000), ({"take": 53_000}, (65_000, 84_000), 90_000)],
    ids=["stop", "take"],
)
def test_a_level_outside_the_days_band_executes_at_the_open_of_its_bar(
    tmp_path: Path, levels: dict[str, int], idle: tuple[int, int], opens: int
) -> None:
    # Given ten shares with a level, and two days without volume on which the price moves so far past it that the
    # band of the day after, 30 % around the last close, does not reach back to the level
    flat = "{0} {0} {0} {0}".format
    texts = ("50000 50500 49500 50000", "50000 50500 49500 50000", *map(flat, idle), flat(opens), flat(opens))
    bars = krx_bars("005930", texts)
    bars = [msgspec.structs.replace(bar, volume=D(0)) if at in (2, 3) else bar for at, bar in enumerate(bars)]
    # When a bar with volume opens beyond the level
    wants: Wants = {0: [Target("005930", 10, **levels)]}  # type: ignore[arg-type]
    session = Session(tmp_path, wants, bars, [SAMSUNG])
    # Then all is sold at its open, not a day later
    assert session.seen[-3:] == [f"SELL 10 at {opens}", f"bar {opens} holding 0", f"bar {opens} holding 0"]
