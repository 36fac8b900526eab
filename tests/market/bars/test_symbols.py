"""The symbol that the name of a file shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.bars.symbols import symbol_of_name


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("AAPL.csv", "AAPL"),
        ("aapl.us.txt", "AAPL.US"),
        ("AAPL (1).csv", "AAPL"),
        ("BRK-B.csv", "BRK-B"),
        ("SPY_2014-2018.csv.gz", "SPY"),
        ("msft_daily.csv", "MSFT"),
        ("BTCUSDT-1d-2024-01.csv", "BTCUSDT"),
        ("BTCUSDT-202401.csv", "BTCUSDT"),
        ("BTC_USDT-1h.feather", "BTC_USDT"),
        ("005930.csv", "005930"),
        ("A005930.csv", "005930"),
        ("005930.KQ.csv", "005930.KQ"),
        ("삼성전자_005930.csv", "005930"),
        ("005930_20140101_20181231.csv", "005930"),
        ("에이디_200710.csv", "200710"),
    ],
)
def test_dates_intervals_and_copies_are_no_part_of_it(name: str, symbol: str) -> None:
    assert symbol_of_name(Path(name)) == symbol


@pytest.mark.parametrize("name", ["data_1234_20240101.csv", "prices.csv", "2024.csv", "5930.csv", "my file.csv"])
def test_a_name_that_shows_none_is_said(name: str) -> None:
    with pytest.raises(DataError, match="its name shows none; name it with --symbol"):
        symbol_of_name(Path(name))
