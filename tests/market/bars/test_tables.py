"""Files of bars that are no text: Parquet, Feather, JSON."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from qts.market.contracts import Bar

from .samples import bars, note_codes, opened, refusal, write

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")


def table(**columns: Any) -> Any:
    hours = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(2)]
    given = {
        "date": pa.array(hours, pa.timestamp("ns", "UTC")),
        "open": [42283.58, 1e-05],
        "high": [42554.57, 2e-05],
        "low": [42261.02, 1e-05],
        "close": [42475.23, 1.5e-05],
        "volume": [1271.68108, 82488700.0],
    }
    return pa.table({**given, **columns})


@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_floats_of_a_table_are_their_shortest_decimals_and_it_is_said(tmp_path: Path, kind: str) -> None:
    # Given a table as freqtrade stores it
    path = tmp_path / f"BTC_USDT-1h.{kind}"
    feather.write_feather(table(), path) if kind == "feather" else parquet.write_table(table(), path)
    # When it is read
    feed = opened(path)
    first, second = feed.values()
    # Then no number has a binary tail
    assert isinstance(first, Bar)
    assert isinstance(second, Bar)
    assert (first.symbol, first.interval, first.open, first.volume) == (
        "BTC_USDT",
        "1h",
        D("42283.58"),
        D("1271.68108"),
    )
    assert (second.high, second.close, second.volume) == (D("0.00002"), D("0.000015"), D(82_488_700))
    assert feed.instruments["BTC_USDT"].currency == "USDT"
    assert "bars-floats" in note_codes(feed)


def test_decimals_dates_and_an_index_without_a_name_are_read(tmp_path: Path) -> None:
    days = pa.array([datetime(2024, 1, 2).date(), datetime(2024, 1, 3).date()])
    prices = {name: pa.array([D("10.10"), D("10.20")]) for name in ("Open", "High", "Low", "Close")}
    path = tmp_path / "AAPL.parquet"
    parquet.write_table(pa.table({**prices, "Volume": [5, 6], "__index_level_0__": days}), path)
    first, second = bars(path)
    assert (first.day, first.open, second.day, second.volume) == ("2024-01-02", D("10.1"), "2024-01-03", 6)


def test_times_without_a_zone_need_one(tmp_path: Path) -> None:
    hours = pa.array([datetime(2024, 1, 2, hour) for hour in (9, 10)], pa.timestamp("us"))
    path = tmp_path / "005930.parquet"
    parquet.write_table(table(date=hours), path)
    assert "--timezone" in refusal(path)
    assert bars(path, timezone="Asia/Seoul")[0].ts_ns == 1_704_157_200_000_000_000  # 10:00 in Seoul


def test_a_damaged_table_and_one_without_a_column_are_named(tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    parquet.write_table(table().drop_columns(["volume"]), path)
    assert "no column volume" in refusal(path)
    path.write_bytes(b"PAR1" + b"x" * 50)
    assert "cannot be read as parquet or feather" in refusal(path)


ROWS = [
    [1704067200000, 42283.58, 42554.57, 42261.02, 42475.23, 1271.68108],
    [1704070800000, 42475.23, 42775.0, 42431.65, 42613.56, 1196.37856],
]


@pytest.mark.parametrize("packed", [False, True])
def test_json_of_freqtrade_is_read_with_its_numbers_as_they_stand(tmp_path: Path, packed: bool) -> None:
    content = json.dumps(ROWS).encode()
    path = tmp_path / ("BTC_USDT-1h.json.gz" if packed else "BTC_USDT-1h.json")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    first, second = bars(path)
    assert (first.symbol, first.open, first.day) == ("BTC_USDT", D("42283.58"), "2024-01-01")
    assert (second.high, second.interval) == (D(42_775), "1h")


def test_json_of_objects_is_read_by_their_names(tmp_path: Path) -> None:
    rows = [{"Date": f"2024-01-0{day}", "Open": 1, "High": 2, "Low": 1, "Close": 2, "Volume": 9} for day in (2, 3)]
    assert [bar.day for bar in bars(write(tmp_path / "A.json", json.dumps(rows)))] == ["2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "[[1704067200000, 1, 1, 1, 1, 1], [1704067200000, 1]]",
            "row 2: not 6 values as in the first row: ['1704067",
        ),
        ("[[1704067200000, 1, 1, 1, 1, 1],", "not whole as JSON"),
        ('[{"ts": 1}]', "no file of bars"),
        ("[]", "no file of bars"),
    ],
)
def test_json_that_is_no_bars_is_named(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(write(tmp_path / "A.json", content))


def test_an_encoding_is_declared_for_texts_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "A.json", json.dumps(ROWS))
    assert "--encoding is for files of text" in refusal(path, encoding="cp949")
