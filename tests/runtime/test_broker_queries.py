"""A broker that does not answer a query holds no caller up."""

from __future__ import annotations

import asyncio

import pytest

from qts.errors import BrokerUnavailable
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.broker_queries import answered


async def tells(what: int) -> int:
    return what


async def never() -> int:
    await asyncio.Event().wait()
    return 0


async def gives_up() -> int:
    raise TimeoutError("read timed out")


async def test_an_answer_in_time_is_passed_on() -> None:
    assert await answered(tells(5)) == 5


async def test_a_broker_that_never_answers_counts_as_not_available() -> None:
    with pytest.raises(BrokerUnavailable, match=r"the broker has not answered a query within 0\.01 s"):
        await answered(never(), timeout_s=0.01)


async def test_a_broker_s_own_limit_counts_likewise() -> None:
    with pytest.raises(BrokerUnavailable, match="the broker has not answered a query within"):
        await answered(gives_up())


def test_on_the_virtual_clock_no_loop_is_needed() -> None:
    assert run_to_completion(answered(tells(5))) == 5
