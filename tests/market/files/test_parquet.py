"""``parquet``: the columns of csv from typed columns, exactly."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qts.errors import DataError, MissingExtraError
from qts.market.contracts import Quote, Tick
from qts.market.files import open_feed, pyarrow_library
from qts.notes import in_english

from .samples import read

pa = pytest.importorskip("pyarrow", reason="parquet needs the extra 'parquet'")
pq = pytest.importorskip("pyarrow.parquet", reason="parquet needs the extra 'parquet'")

D = Decimal
NS = 1_769_126_400_000_000_000
STAMP = "2026-01-23T09:00:00+09:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quotes.parquet"


def save(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_texts_decimals_floats_and_whole_numbers_become_exact_decimals(path: Path) -> None:
    columns = {
        "ts": [STAMP],
        "symbol": ["BTCUSDT"],
        "bid": pa.array([61800.3], pa.float64()),
        "ask": pa.array([D("61800.40")], pa.decimal128(12, 2)),
        "bid_size": ["2.5070"],
        "ask_size": pa.array([3], pa.int64()),
        "last": pa.array([61800.3], pa.float32()),
        "size": pa.array([None], pa.float64()),
    }
    values, counts = read(save(path, columns), currency="USDT")
    assert counts == {}
    assert values == [
        Quote("BTCUSDT", NS, D("61800.3"), D("61800.40"), D("2.5070"), D(3), D("61800.3"), None),
    ]


def test_a_row_of_last_and_size_behind_a_quote_is_a_trade(path: Path) -> None:
    columns = {
        "ts": [STAMP, STAMP],
        "symbol": ["BTCUSDT", "BTCUSDT"],
        "bid": pa.array([61800.3, None], pa.float64()),
        "ask": pa.array([61800.4, None], pa.float64()),
        "last": pa.array([None, 61800.4], pa.float64()),
        "size": pa.array([None, 0.5], pa.float64()),
    }
    values, counts = read(save(path, columns), currency="USDT")
    assert counts == {}
    assert values[1:] == [Tick("BTCUSDT", NS, D("61800.4"), D("0.5"))]


@pytest.mark.parametrize(
    "ts",
    [
        pa.array([datetime(2026, 1, 23, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        pa.array(
            [datetime(2026, 1, 23, 9, tzinfo=timezone(timedelta(hours=9)))], pa.timestamp("ns", tz="Asia/Seoul")
        ),
        pa.array([STAMP]).dictionary_encode(),
        pa.array([STAMP], pa.large_string()),
    ],
)
def test_every_kind_of_time_with_an_offset_is_the_same_moment(path: Path, ts: Any) -> None:
    values, _ = read(save(path, {"ts": ts, "symbol": ["005930"], "last": [70000]}))
    assert [value.ts_ns for value in values] == [NS]


@pytest.mark.parametrize("ts", [pa.array([datetime(2026, 1, 23)], pa.timestamp("us")), pa.array([1])])
def test_a_time_without_an_offset_is_a_data_error(path: Path, ts: Any) -> None:
    with pytest.raises(DataError, match=r"column ts has the type .* needs an offset"):
        open_feed(save(path, {"ts": ts, "symbol": ["005930"], "last": [70000]}))


def test_bad_rows_are_refused_by_reason_with_their_number(path: Path) -> None:
    good = "2026-01-23T00:00:00Z"
    columns = {
        "ts": [good, good, good, good, good, None, "2025-01-01T00:00:00Z", good],
        "symbol": ["005930", "005930", "005930", "005930", None, "005930", "005930", "005930"],
        "last": [1.5, float("nan"), 0.0, None, 1.0, 1.0, 1.0, 1.5],
    }
    feed = open_feed(save(path, columns))
    assert list(feed.values()) == [Quote("005930", NS, last=D("1.5"))]
    assert dict(feed.rows_refused) == {
        "not_finite": 1,
        "nonpositive_price": 1,
        "no_price": 1,
        "malformed": 1,
        "bad_time": 1,
        "time_backwards": 1,
        "duplicate": 1,
    }
    (example,) = feed.refusal_examples["not_finite"]
    assert (example.line, example.value) == (2, "nan")


@pytest.mark.parametrize("prices", [[True], [[1.0]], [b"1.0"]])
def test_a_column_of_another_type_has_no_prices(path: Path, prices: list[Any]) -> None:
    with pytest.raises(DataError, match="no usable row; refused: not_a_number 1"):
        open_feed(save(path, {"ts": [STAMP], "symbol": ["005930"], "last": prices}))


def test_missing_columns_are_named(path: Path) -> None:
    with pytest.raises(DataError, match="missing here: symbol; bid and ask, or last"):
        open_feed(save(path, {"ts": [STAMP], "bid": [1.0]}))


def test_reading_goes_through_row_groups_and_on_from_any_row(path: Path) -> None:
    rows = 10_000
    columns = {"ts": [STAMP] * rows, "symbol": ["005930"] * rows, "last": list(range(1, rows + 1))}
    save(path, columns, row_group_size=4_500)
    whole = [value.last for value in read(path)[0] if isinstance(value, Quote)]
    assert whole == list(range(1, rows + 1))
    for stop in (1, 4_095, 4_096, 4_097, 4_500, 4_501, 9_999, 10_000):
        feed = open_feed(path)
        values = feed.values()
        for _ in range(stop):
            next(values)
        again = open_feed(path)
        again.resume(feed.position())
        assert [value.last for value in again.values() if isinstance(value, Quote)] == whole[stop:]
        assert again.progress() == 1.0


def test_a_file_without_its_end_is_a_data_error(path: Path) -> None:
    save(path, {"ts": [STAMP], "symbol": ["005930"], "last": [70000]})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable parquet file"):
        open_feed(path)


def test_damage_in_a_later_row_group_keeps_the_rows_before_it(path: Path) -> None:
    rows = 2_000
    columns = {"ts": [STAMP] * rows, "symbol": ["005930"] * rows, "last": list(range(1, rows + 1))}
    save(path, columns, row_group_size=1_000, use_dictionary=False, compression="gzip")
    start = pq.ParquetFile(path).metadata.row_group(1).column(2).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 300] = b"\xff" * 300
    path.write_bytes(bytes(content))
    feed = open_feed(path)
    assert len(list(feed.values())) == 1_000
    assert dict(feed.rows_refused) == {"damaged_parquet": 1}
    assert "row group 2" in in_english(feed.notes[0])


def test_a_parquet_file_called_something_else_is_named(path: Path) -> None:
    save(path, {"ts": [STAMP], "symbol": ["005930"], "last": [70000]})
    with pytest.raises(DataError, match="not csv; the file looks like parquet"):
        open_feed(path, "csv")


def test_without_pyarrow_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, {"ts": [STAMP], "symbol": ["005930"], "last": [70000]})

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pyarrow_library.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"of qts-runtime: .*'\.\[parquet\]'"):
        open_feed(path)
