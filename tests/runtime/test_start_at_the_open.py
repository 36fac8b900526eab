"""A session that passes in real time begins at the open of its first day: it does not wait for the hours before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qts.clock import to_ns
from qts.market.generic import AlwaysOpen
from qts.market.krx import KrxCalendar
from qts.runtime.session.session import paced_start_ns


def at(text: str) -> int:
    return to_ns(datetime.fromisoformat(f"{text}+09:00").astimezone(UTC))


@pytest.mark.parametrize(
    ("first", "begins"),
    [
        ("2026-01-23T08:30:00", "2026-01-23T09:00:00"),  # the daily bar of the day before
        ("2026-01-23T06:00:00", "2026-01-23T09:00:00"),
        ("2026-01-23T09:00:00", "2026-01-23T09:00:00"),
        ("2026-01-23T10:15:00", "2026-01-23T10:15:00"),  # a recording that begins in the middle
        ("2026-01-23T15:40:00", "2026-01-23T15:40:00"),  # after the close: the next open is another day's
        ("2026-01-24T12:00:00", "2026-01-24T12:00:00"),  # a Saturday
    ],
)
def test_time_passes_from_the_open_of_the_first_value_s_day(first: str, begins: str) -> None:
    assert paced_start_ns(KrxCalendar(), at(first)) == at(begins)


def test_a_market_that_never_closes_begins_with_the_first_value() -> None:
    assert paced_start_ns(AlwaysOpen(), at("2026-01-24T03:00:00")) == at("2026-01-24T03:00:00")
