"""Between a live feed and its session: order of arrival, a limit, and no loss that is not told."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qts.market.contracts import FeedGap, Quote
from qts.runtime.drivers.arrivals import Arrivals

STEPS = st.lists(st.sampled_from(["value", "value", "value", "gap", "take"]), max_size=60)


@given(steps=STEPS, limit=st.integers(1, 8))
def test_values_keep_their_order_and_every_loss_is_told_before_the_next(steps: list[str], limit: int) -> None:
    """given any pushes and takes, then values are taken in order, or counted and a gap stands for them"""

    async def scenario() -> None:
        arrivals, pushed, taken = Arrivals(limit), 0, []
        for step in [*steps, *["take"] * (limit + 1)]:
            if step == "value":
                arrivals.put(Quote("A", pushed := pushed + 1))
            elif step == "gap":
                arrivals.put_gap(FeedGap(pushed, "lost", ("B",)))
            else:
                taken.append(arrivals.take())
        values = [one.ts_ns for one in taken if isinstance(one, Quote)]
        assert values == sorted(values)
        assert len(values) + arrivals.dropped == pushed
        before = 0
        for index, one in enumerate(taken):
            if isinstance(one, Quote):
                missing = one.ts_ns != before + 1
                told = index > 0 and any(isinstance(gap, FeedGap) and "A" in gap.symbols for gap in taken[:index])
                assert told or not missing
                before = one.ts_ns

    asyncio.run(scenario())


async def test_a_wait_ends_when_something_comes() -> None:
    arrivals = Arrivals()
    assert arrivals.take() is None
    asyncio.get_running_loop().call_soon(arrivals.put, Quote("A", 1))

    await asyncio.wait_for(arrivals.wait(3_600), 60)

    assert arrivals.take() == Quote("A", 1)


def test_a_dropped_gap_is_not_forgotten() -> None:
    """given room for one, when a gap of one symbol and a value of another are dropped, then one gap names both"""
    arrivals = Arrivals(1)
    arrivals.put_gap(FeedGap(1, "lost", ("B",)))
    arrivals.put(Quote("A", 2))
    arrivals.put(Quote("A", 3))

    gap = arrivals.take()

    assert isinstance(gap, FeedGap)
    assert (gap.symbols, gap.reason) == (
        ("B", "A"),
        "lost; 1 values were dropped: the session could not keep up",
    )
    assert arrivals.take() == Quote("A", 3)
    assert arrivals.take() is None
