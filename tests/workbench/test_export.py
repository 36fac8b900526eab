"""The export of a run: one file a table, exact amounts, times of the market, and nothing of the user's replaced."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from qts.errors import InputError, MissingExtraError, StorageError
from qts.runtime.persistence.charts_file import Line
from qts.runtime.session.result import SessionFacts
from qts.workbench.export import FORMATS, Written, export
from qts.workbench.tables import TABLES
from tests.report.session import START_NS, candles_of, plain_session


@pytest.fixture
def facts() -> SessionFacts:
    """Two fills of one round trip, ten candles, ten samples of equity, a plotted point."""
    line = Line(strategy="scalp", pane="spread", name='a "name", quoted', times_ns=[START_NS], values=[1.5])
    return plain_session(lines=[line], candles=[candles_of(span=2)])


def rows_of(directory: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((directory / f"{name}.csv").read_text("utf-8"))))


@pytest.mark.parametrize("format_", FORMATS)
def test_every_table_is_a_file(facts: SessionFacts, tmp_path: Path, format_: str) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs the extra 'parquet'")
    written = export(facts, format_, tmp_path / "out")  # type: ignore[arg-type]
    assert [one.path.name for one in written] == [f"{name}.{format_}" for name in TABLES]
    counts = {one.path.stem: one.rows for one in written}
    assert counts == {"trades": 1, "fills": 2, "orders": 2, "equity": 10, "actions": 0, "bars": 10, "plots": 1}


def test_csv_has_exact_amounts_and_times_with_their_offset(facts: SessionFacts, tmp_path: Path) -> None:
    export(facts, "csv", tmp_path)
    (trade,) = rows_of(tmp_path, "trades")
    assert (trade["entered"], trade["result"], trade["entry_price"]) == (
        "2018-01-23T09:00:00+09:00",
        "18350",
        "50000",
    )
    assert rows_of(tmp_path, "plots")[0]["name"] == 'a "name", quoted'
    assert {row["span"] for row in rows_of(tmp_path, "bars")} == {"2"}
    assert rows_of(tmp_path, "orders")[0]["limit"] == ""  # at the market


def test_a_table_without_rows_has_its_columns(facts: SessionFacts, tmp_path: Path) -> None:
    export(facts, "csv", tmp_path)
    text = (tmp_path / "actions.csv").read_text("utf-8")
    assert text == "time,ex_date,symbol,strategy,kind,held,change,new,old,price,amount,tax\n"


def test_json_lines_have_amounts_as_text_and_null_for_what_is_unknown(facts: SessionFacts, tmp_path: Path) -> None:
    export(facts, "jsonl", tmp_path)
    first, second = map(json.loads, (tmp_path / "fills.jsonl").read_text("utf-8").splitlines())
    assert (first["qty"], first["side"], second["tax"]) == ("10", "BUY", "1500")
    order = json.loads((tmp_path / "orders.jsonl").read_text("utf-8").splitlines()[0])
    assert order["limit"] is None


def test_parquet_has_numbers_and_times(facts: SessionFacts, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra 'parquet'")
    export(facts, "parquet", tmp_path)
    first = parquet.read_table(tmp_path / "equity.parquet").to_pylist()[0]
    assert first["equity"] == 100_000_000.0
    assert first["time"].isoformat() == "2018-01-22T09:00:00+09:00"


def test_a_file_that_is_there_stays(facts: SessionFacts, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("mine")
    with pytest.raises(InputError, match=r"orders\.csv is there; name another directory"):
        export(facts, "csv", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]
    export(facts, "csv", tmp_path, replace=True)
    assert (tmp_path / "orders.csv").read_text("utf-8").startswith("time,")


def test_a_place_that_is_no_directory_is_refused(facts: SessionFacts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the export cannot go to"):
        export(facts, "csv", tmp_path / "file")


def test_a_file_that_cannot_be_written_is_named(facts: SessionFacts, tmp_path: Path) -> None:
    (tmp_path / "trades.csv").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*trades\.csv"):
        export(facts, "csv", tmp_path, replace=True)


def test_parquet_without_its_library_names_the_extra(
    facts: SessionFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it was not installed
    with pytest.raises(MissingExtraError, match="parquet"):
        export(facts, "parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_files_belong_to_their_owner_alone(facts: SessionFacts, tmp_path: Path) -> None:
    first: Written = export(facts, "csv", tmp_path)[0]
    assert first.path.stat().st_mode & 0o077 == 0
