"""How intervals are written, and what is said of a text that is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.clock import NS_PER_S
from qts.errors import ContractError
from qts.market.series.intervals import Unit, length_name, length_ns, parse_interval, whole_second


@pytest.mark.parametrize(
    ("text", "unit", "seconds", "size"),
    [
        ("30s", Unit.TIME, 30, "0"),
        ("1m", Unit.TIME, 60, "0"),
        ("5m", Unit.TIME, 300, "0"),
        ("1h", Unit.TIME, 3_600, "0"),
        ("1d", Unit.TIME, 86_400, "0"),
        ("1w", Unit.TIME, 604_800, "0"),
        ("1439m", Unit.TIME, 86_340, "0"),
        ("1000t", Unit.TRADES, 0, "1000"),
        ("5e4v", Unit.VOLUME, 0, "50000"),
        ("0.5v", Unit.VOLUME, 0, "0.5"),
        ("1e8$", Unit.VALUE, 0, "100000000"),
    ],
)
def test_a_text_is_a_length_of_time_or_a_number_of_trades_a_volume_or_a_value(
    text: str, unit: Unit, seconds: int, size: str
) -> None:
    interval = parse_interval(text)

    assert (interval.name, interval.unit, interval.ns) == (text, unit, seconds * NS_PER_S)
    assert interval.size == Decimal(size)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7x", "'7x'"),
        ("", "''"),
        ("5 m", "'5 m'"),
        ("5M", "'5M'"),
        ("-5m", "'-5m'"),
        ("٥m", "'٥m'"),
        ("1mo", "'1mo'"),
        ("0m", "'0m' is zero"),
        ("0t", "'0t' is zero"),
        ("0e9$", "'0e9$' is zero"),
        ("1440m", "'1440m' is as long as a day"),
        ("24h", "'24h' is as long as a day"),
        ("2d", "'2d' is as long as a day"),
        ("2w", "'2w' is as long as a day"),
        ("1.5t", "'1.5t': a number of trades is whole"),
        ("1e15v", "'1e15v' is 10^15 or more"),
        ("9" * 30 + "m", "999999999999999999999999'… is longer than 24 characters"),
        (5, "5 is no text"),
        (None, "None is no text"),
    ],
)
def test_another_text_is_refused_with_what_is_allowed(text: object, reason: str) -> None:
    with pytest.raises(ContractError) as refused:
        parse_interval(text)

    assert reason in str(refused.value)
    assert "allowed are a length of time below a day such as 30s, 5m or 1h, 1d, 1w" in str(refused.value)
    assert "1000t" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_shorter_intervals_come_before_longer_ones_and_time_before_all_others() -> None:
    texts = ["1e8$", "1d", "5e4v", "1000t", "5m", "1w", "200t", "30s", "1h"]

    ranked = sorted(texts, key=lambda text: parse_interval(text).rank)

    assert ranked == ["30s", "5m", "1h", "1d", "1w", "200t", "1000t", "5e4v", "1e8$"]


def test_only_lengths_below_a_day_are_intraday() -> None:
    assert [text for text in ("30s", "1439m", "1d", "1w", "10t") if parse_interval(text).is_intraday] == [
        "30s",
        "1439m",
    ]


def test_a_length_has_its_shortest_name_and_a_feed_may_have_any_length() -> None:
    for text in ("30s", "5m", "90m", "4h", "2d"):
        assert length_name(length_ns(text) or 0) == text
    assert length_ns("1mo") is None
    assert length_ns("0m") is None


def test_the_last_millisecond_of_a_bar_is_its_end() -> None:
    assert whole_second(59_999_000_000) == 60 * NS_PER_S
    assert whole_second(60 * NS_PER_S) == 60 * NS_PER_S
