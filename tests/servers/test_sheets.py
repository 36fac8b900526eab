"""The double of Google Sheets: its quotas, what is refused whole, what it keeps, and the process of its own."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from qts.clock import ManualClock
from tests.servers.process import Server
from tests.servers.sheets import PER_MINUTE, SPREADSHEET, Sheets

pytest.importorskip("google.auth", reason="needs the extra sheets: pip install 'qts-runtime[sheets]'")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    with Sheets(clock=ManualClock(datetime(2026, 1, 5, tzinfo=UTC))) as made:
        made._tokens.add("token")
        yield made


def call(base: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """The status and answer of a call of one who has signed in."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{base}/{SPREADSHEET}{path}", data, {"Authorization": "Bearer token"})
    request.method = method
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def get(sheets: Sheets, cells: str) -> tuple[int, Any]:
    return call(sheets.base_url, "GET", f"/values/{quote(cells)}?valueRenderOption=UNFORMATTED_VALUE")


def put(sheets: Sheets, *ranges: tuple[str, list[list[Any]]], how: str = "RAW") -> tuple[int, Any]:
    data = [{"range": cells, "values": values} for cells, values in ranges]
    return call(sheets.base_url, "POST", "/values:batchUpdate", {"valueInputOption": how, "data": data})


def test_a_minute_has_sixty_reads_and_sixty_writes(sheets: Sheets) -> None:
    # Given a minute with as many reads as it has
    assert [get(sheets, "'Sheet1'!A1")[0] for _ in range(PER_MINUTE)] == [200] * PER_MINUTE
    # Then the next one is refused, and a write is not
    code, error = get(sheets, "'Sheet1'!A1")
    assert (code, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert put(sheets, ("'Sheet1'!A1", [["x"]]))[0] == 200
    # and the next minute has as many again
    assert isinstance(sheets.clock, ManualClock)
    sheets.clock.advance(timedelta(minutes=1))
    assert get(sheets, "'Sheet1'!A1")[0] == 200


def test_a_call_is_done_wholly_or_not_at_all(sheets: Sheets) -> None:
    # Given writes whose second range is outside of its tab, protected, of no tab, or too small
    for second in ("'Sheet1'!A1001:B1001", "'Other'!A1", "'Sheet1'!A1:A1"):
        code, error = put(sheets, ("'Sheet1'!A1", [["x"]]), (second, [["1", "2"]]))
        assert (code, error["status"]) == (400, "INVALID_ARGUMENT")
    sheets.tab("Sheet1").protected = True
    assert "protected" in put(sheets, ("'Sheet1'!A1", [["x"]]))[1]["message"]
    # and changes of which the second makes a tab that is there
    add = {"title": "New", "sheetId": 5, "gridProperties": {"rowCount": 9, "columnCount": 9}}
    requests = [{"addSheet": {"properties": add}}, {"addSheet": {"properties": {**add, "sheetId": 6}}}]
    code, error = call(sheets.base_url, "POST", ":batchUpdate", {"requests": requests})
    assert (code, "already exists" in error["message"]) == (400, True)
    # Then nothing of them was done
    assert sheets.titles == ["Sheet1"]
    assert get(sheets, "'Sheet1'!A1:C9")[1].get("values") is None


def test_what_is_not_written_raw_is_read_as_a_person_s(sheets: Sheets) -> None:
    put(sheets, ("'Sheet1'!A1:D1", [["005930", "=1+1", "-5", "x"]]), how="USER_ENTERED")
    put(sheets, ("'Sheet1'!A2:D2", [["005930", "=1+1", "-5", "x"]]))
    assert get(sheets, "'Sheet1'!A1:D9")[1]["values"] == [
        [5930.0, "evaluated =1+1", -5.0, "x"],
        ["005930", "=1+1", "-5", "x"],
    ]


def test_empty_ends_are_not_told(sheets: Sheets) -> None:
    put(sheets, ("'Sheet1'!A1:C4", [["a", "", ""], [], ["", "b", ""], ["", "", ""]]))
    assert get(sheets, "'Sheet1'!A1:C9")[1]["values"] == [["a"], [], ["", "b"]]
    assert get(sheets, "'Sheet1'!B1:B")[1]["values"] == [[], [], ["b"]]
    # and a range that is cleared is empty
    call(sheets.base_url, "POST", "/values:batchClear", {"ranges": ["'Sheet1'!A1:C9"]})
    assert "values" not in get(sheets, "'Sheet1'!A1:C9")[1]
    one = call(sheets.base_url, "PUT", "/values/%27Sheet1%27%21A1?valueInputOption=RAW", {"values": [["z"]]})
    assert one[0] == 200
    many = "/values:batchGet?ranges=%27Sheet1%27%21A1&ranges=%27Sheet1%27%21B1&valueRenderOption=UNFORMATTED_VALUE"
    assert [one.get("values") for one in call(sheets.base_url, "GET", many)[1]["valueRanges"]] == [[["z"]], None]


def test_there_is_no_append(sheets: Sheets) -> None:
    assert call(sheets.base_url, "POST", "/values/A1:append", {"values": [["x"]]})[0] == 404


def test_who_has_not_signed_in_is_refused(sheets: Sheets) -> None:
    sheets.forget_tokens()
    assert get(sheets, "'Sheet1'!A1")[0] == 401


class Process(Server):
    """The double in a process of its own, which keeps the spreadsheet in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(log=folder / "log")
        self.key, self.state = folder / "key.json", folder / "state.json"

    def argv(self) -> list[str]:
        places = ["--credentials", str(self.key), "--state", str(self.state)]
        return [sys.executable, "-m", "tests.servers.sheets", "--port", str(self.port), *places]

    def ready(self) -> bool:
        return self.key.exists() and super().ready()

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_process_of_its_own_keeps_the_spreadsheet(tmp_path: Path) -> None:
    # Given a double in a process, which is killed behind a write
    from qts.db.sheets.access import CREDENTIALS, access_of
    from qts.db.sheets.session import SignedSession

    process = Process(tmp_path)
    base = f"http://127.0.0.1:{process.port}/v4/spreadsheets"
    for count in range(2):
        with process:
            access = access_of(f"sheets://{SPREADSHEET}", {CREDENTIALS: str(process.key)})
            session = SignedSession(access, base, 10)
            read = f"{base}/{SPREADSHEET}/values/%27Sheet1%27%21A1?valueRenderOption=UNFORMATTED_VALUE"
            found = json.loads(session.send("GET", read, None, "read").body).get("values")
            # Then it has the spreadsheet again when it is started again
            assert found == ([["kept"]] if count else None)
            body = {"valueInputOption": "RAW", "data": [{"range": "'Sheet1'!A1", "values": [["kept"]]}]}
            write = f"{base}/{SPREADSHEET}/values:batchUpdate"
            assert session.send("POST", write, json.dumps(body).encode(), "write").status == 200
            session.close()
            process.kill()
