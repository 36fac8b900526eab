"""Targets on random tapes: never more is on its way than is wanted, never more sold than held, and all heals.

Each tape is a list of steps: a target, a cancel, quotes that fill orders in part, and restarts from the last
checkpoint, at a broker that rejects some orders, at once or later.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.market.contracts import Bar, Quote
from qts.runtime.wiring.profiles import PLAIN_SETTINGS
from qts.strategy.contracts import Context, FillView, Side
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Cancel, Target
from tests.runtime.rig import SYMBOL, Rig, kst

SETTINGS = {
    **PLAIN_SETTINGS,
    "broker.sim.reject_probability": "0.15",
    "broker.sim.late_reject_probability": "0.1",
    "risk.reject_wait_s": "1",
    "risk.reject_wait_max_s": "1",
    "risk.rejects_before_stop": "100",
    "risk.rejects_before_fail": "100",
}


class Aiming:
    """Says what the test tells it, and notes every order that is sent beyond its newest target."""

    name, pool, symbols = "aiming", Pool.SCALP, ()
    not_saved = ("says", "wrong", "sent")

    def __init__(self, wrong: list[str]) -> None:
        self.wanted = 0
        self.says: list[Target | Cancel] = []
        self.wrong = wrong
        self.sent = 0

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Target | Cancel]:
        said, self.says = self.says, []
        for one in said:
            if isinstance(one, Target):
                self.wanted = int(one.qty or 0)
        return said

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Target]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        if ctx.holding(SYMBOL) < 0:
            self.wrong.append(f"holding {ctx.holding(SYMBOL)}")

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        if not news.sent:
            return
        self.sent += 1
        after = ctx.holding(SYMBOL) + news.side.sign * news.qty
        if after > self.wanted if news.side is Side.BUY else after < self.wanted:
            self.wrong.append(f"{news.side.value} {news.qty} at {ctx.holding(SYMBOL)}, wanted {self.wanted}")


TARGETS = st.builds(
    lambda qty, limit: Target(SYMBOL, qty, limit=limit, tag="t"),
    st.integers(0, 20),
    st.sampled_from([None, None, 149_900, 150_000, 150_100]),
)
STEPS = st.lists(
    st.one_of(
        TARGETS,
        TARGETS,
        st.sampled_from([Cancel("t"), Cancel(symbol=SYMBOL)]),
        st.tuples(st.sampled_from([149_800, 149_900, 150_000, 150_100]), st.integers(1, 6)),
        st.just("restart"),
    ),
    min_size=3,
    max_size=14,
)


class Session:
    """A rig that can be ended and gone on with."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wrong: list[str] = []
        self.strategy = Aiming(self.wrong)
        self.rig = Rig(directory, self.strategy, settings=SETTINGS)
        self.now = kst(10)
        self.quote(150_000, 1)

    def quote(self, bid: int, size: int) -> None:
        self.now += NS_PER_S
        self.rig.quote(self.now, bid, bid + 100, size)

    def restart(self) -> None:
        self.rig.store_now()
        self.rig.close()
        self.strategy = Aiming(self.wrong)
        self.rig = Rig(self.directory, self.strategy, settings=SETTINGS, is_resumed=True)

    def take(self, step: Any) -> None:
        if step == "restart":
            self.restart()
        elif isinstance(step, tuple):
            self.quote(*step)
        else:
            self.strategy.says.append(step)
            self.quote(150_000, 2)

    def settle(self) -> None:
        """Say the newest target until it is reached, on quotes that fill every limit."""
        for _ in range(30):
            self.strategy.says.append(Target(SYMBOL, self.strategy.wanted))
            for bid in (149_800, 150_100, 150_000):
                self.quote(bid, 1_000)
            if self.rig.held("aiming") == self.strategy.wanted and not len(self.rig.shared.orders):
                return


@settings(max_examples=12, deadline=None)
@given(steps=STEPS)
def test_what_is_held_and_on_its_way_is_what_was_wanted_last(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Given a tape of targets, cancels, partial fills, rejections and restarts
    session = Session(tmp_path_factory.mktemp("targets"))
    try:
        for step in steps:
            session.take(step)
            # Then no order goes beyond the newest target, nothing is sold that is not held
            assert session.wrong == []
            assert session.rig.held("aiming") >= 0
        # When everything has ended and fills suffice, then the holding is the target
        session.settle()
        assert session.wrong == []
        assert session.rig.held("aiming") == session.strategy.wanted
        # When it is said again, then nothing is sent
        sent = session.strategy.sent
        session.strategy.says.append(Target(SYMBOL, session.strategy.wanted))
        session.quote(150_000, 1_000)
        session.quote(150_000, 1_000)
        assert session.strategy.sent == sent
    finally:
        session.rig.close()
