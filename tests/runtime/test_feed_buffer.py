"""Between a live feed and its session: order of arrival, a limit, and no loss that is not told."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qts.market.contracts import FeedGap, Quote
from qts.runtime.drivers.feed_buffer import FeedBuffer

STEPS = st.lists(st.sampled_from(["value", "value", "value", "gap", "take"]), max_size=60)


@given(steps=STEPS, limit=st.integers(1, 8))
def test_values_keep_their_order_and_every_loss_is_told_before_the_next(steps: list[str], limit: int) -> None:
    """given any pushes and takes, then values are taken in order, or counted and a gap stands for them"""

    async def scenario() -> None:
        buffer, pushed, taken = FeedBuffer(limit), 0, []
        for step in [*steps, *["take"] * (limit + 1)]:
            if step == "value":
                buffer.put(Quote("A", pushed := pushed + 1))
            elif step == "gap":
                buffer.put_gap(FeedGap(pushed, "lost", ("B",)))
            else:
                taken.append(buffer.take())
        values = [one.ts_ns for one in taken if isinstance(one, Quote)]
        assert values == sorted(values)
        assert len(values) + buffer.dropped == pushed
        before = 0
        for index, one in enumerate(taken):
            if isinstance(one, Quote):
                missing = one.ts_ns != before + 1
                told = index > 0 and any(isinstance(gap, FeedGap) and "A" in gap.symbols for gap in taken[:index])
                assert told or not missing
                before = one.ts_ns

    asyncio.run(scenario())


async def test_a_wait_ends_when_something_comes() -> None:
    buffer = FeedBuffer()
    assert buffer.take() is None
    asyncio.get_running_loop().call_soon(buffer.put, Quote("A", 1))

    await asyncio.wait_for(buffer.wait(3_600), 60)

    assert buffer.take() == Quote("A", 1)


def test_a_dropped_gap_is_not_forgotten() -> None:
    """given room for one, when a gap of one symbol and a value of another are dropped, then one gap names both"""
    buffer = FeedBuffer(1)
    buffer.put_gap(FeedGap(1, "lost", ("B",)))
    buffer.put(Quote("A", 2))
    buffer.put(Quote("A", 3))

    gap = buffer.take()

    assert isinstance(gap, FeedGap)
    assert (gap.symbols, gap.reason) == (
        ("B", "A"),
        "lost; 1 value was dropped: the session could not keep up",
    )
    assert buffer.take() == Quote("A", 3)
    assert buffer.take() is None
