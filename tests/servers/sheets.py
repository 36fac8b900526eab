"""A double of the API of Google Sheets: its calls, quotas and refusals, and people who work in a spreadsheet.

It answers the real client, which signs in at it with a key made for the tests. It runs on a thread of the tests,
or as a process of its own (``python -m tests.servers.sheets --port 8080 --credentials key.json``). With ``state``
it keeps the spreadsheet in a file, and has it again when it is started again.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from qts.clock import NS_PER_S, Clock, SystemClock
from qts.db.adapter import DataSourceAdapter
from qts.db.sheets_config import SheetsConfig

SPREADSHEET = "1AbC-test_spreadsheet"
ACCOUNT = "writer@qts-tests.iam.gserviceaccount.com"
PER_MINUTE = 60
"""Reads, and writes, that Google allows a user in a minute."""
MOST_CELLS = 10_000_000
MOST_CHARACTERS = 50_000
EXISTS = 'Invalid requests[{}].addSheet: A sheet with the {} "{}" already exists. Please enter another {}.'
_RANGE = re.compile(r"'((?:[^']|'')+)'!([A-Z]+)(\d+)(?::([A-Z]+)(\d+)?)?")


class Refused(Exception):
    """A call that is answered by an error."""

    def __init__(self, code: int, status: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code, self.status, self.headers = code, status, headers


def bad(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)


@dataclass
class Tab:
    """A tab: ``rows`` of cells, of which those at the end may be missing."""

    title: str
    number: int
    height: int
    width: int
    rows: list[list[Any]] = field(default_factory=list)
    protected: bool = False

    def cell(self, row: int, column: int) -> Any:
        """The value of a cell, counted from 0."""
        return self.rows[row][column] if row < len(self.rows) and column < len(self.rows[row]) else ""

    def put(self, row: int, column: int, value: Any) -> None:
        while len(self.rows) <= row:
            self.rows.append([])
        cells = self.rows[row]
        cells += [""] * (column + 1 - len(cells))
        cells[column] = value

    def block(self, first: tuple[int, int], last: tuple[int, int]) -> list[list[Any]]:
        """The cells of a range without the empty ones at the ends of rows, and the empty rows at the end."""
        found: list[list[Any]] = []
        for row in self.rows[first[0] : last[0] + 1]:
            cells = row[first[1] : last[1] + 1]
            while cells and cells[-1] == "":
                cells = cells[:-1]
            found.append(cells)
        while found and not found[-1]:
            found.pop()
        return found

    @property
    def filled(self) -> list[list[Any]]:
        """All rows, without the empty ends."""
        return self.block((0, 0), (self.height, self.width))


@dataclass
class Call:
    """A call that came in: its kind, whether it reads, and the status it was answered with (0: not at all)."""

    kind: str
    is_read: bool
    at_ns: int
    status: int = 0


class Sheets:
    """The double. Faults are set on it, and what a person does in the spreadsheet are its methods; from any thread.

    ``clock`` is that of the quotas. ``state``: the file that keeps the spreadsheet.
    """

    def __init__(self, *, clock: Clock | None = None, state: Path | None = None, port: int = 0) -> None:
        self.clock: Clock = clock or SystemClock()
        self.tabs: list[Tab] = [Tab("Sheet1", 0, 1_000, 26)]
        self.calls: list[Call] = []
        self.per_minute = PER_MINUTE
        self.most_cells = MOST_CELLS
        self.answer_with: list[Refused] = []
        """Errors with which the next calls are answered, one each, before they are looked at."""
        self.always: Refused | None = None
        """An error with which every call is answered."""
        self.cut: Callable[[Call], str] = lambda call: ""
        """What happens to the connection of a call: "" nothing, "before" it is cut before the call is done, "after"
        behind it, without an answer, "hold" it is done and the answer does not come before :meth:`let_go`,
        "drip" it comes a byte at a time."""
        self.is_revoked = False
        """Whether the server that signs in refuses the key."""
        self.may_write = True
        """Whether the spreadsheet is shared for editing."""
        self._state = state
        self._lock = threading.RLock()
        self._released = threading.Event()
        self._used: Counter[tuple[int, bool]] = Counter()
        self._tokens: set[str] = set()
        if state is not None and state.exists():
            self.tabs = [Tab(**tab) for tab in json.loads(state.read_text("utf-8"))]
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- the way to it -------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v4/spreadsheets"

    @property
    def url(self) -> str:
        return f"sheets://{SPREADSHEET}"

    def write_credentials(self, path: Path, **changes: Any) -> Path:
        """Write the key file of the service account, for its owner alone."""
        info = {
            "type": "service_account",
            "project_id": "qts-tests",
            "private_key_id": "1",
            "private_key": _private_key(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self.port}/token",
            **changes,
        }
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(info, file)
        return path

    # -- people ----------------------------------------------------------------------------------------------------

    def tab(self, title: str) -> Tab:
        return next(tab for tab in self.tabs if tab.title == title)

    @property
    def titles(self) -> list[str]:
        return [tab.title for tab in self.tabs]

    def edit(self, title: str, row: int, column: int, value: Any) -> None:
        """Type into a cell; rows and columns count from 1."""
        with self._lock:
            self.tab(title).put(row - 1, column - 1, value)

    def sort(self, title: str, column: int) -> None:
        """Sort the rows below the header by a column, the largest first."""
        with self._lock:
            tab = self.tab(title)
            tab.rows[1:] = sorted(tab.rows[1:], key=lambda row: str(row[column - 1]), reverse=True)

    def delete_row(self, title: str, row: int) -> None:
        with self._lock:
            tab = self.tab(title)
            del tab.rows[row - 1]
            tab.height -= 1

    def insert_row(self, title: str, row: int, *cells: Any) -> None:
        with self._lock:
            tab = self.tab(title)
            tab.rows.insert(row - 1, list(cells))
            tab.height += 1

    def move_column(self, title: str, column: int, to: int) -> None:
        with self._lock:
            for row in self.tab(title).rows:
                row += [""] * (max(column, to) - len(row))
                row.insert(to - 1, row.pop(column - 1))

    def rename(self, title: str, to: str) -> None:
        with self._lock:
            self.tab(title).title = to

    def delete(self, title: str) -> None:
        with self._lock:
            self.tabs.remove(self.tab(title))

    def let_go(self) -> None:
        """Answer the calls that are held."""
        self._released.set()

    def made(self, kind: str = "") -> int:
        """How many calls came, or those of a kind."""
        return sum(kind in ("", call.kind) for call in self.calls)

    # -- the API ------------------------------------------------------------------------------------------------

    def token(self, form: dict[str, list[str]]) -> dict[str, Any]:
        """Sign in: the assertion has to be one of our key's account."""
        if self.is_revoked:
            raise Refused(400, "invalid_grant", "Invalid JWT Signature.")
        claims = form["assertion"][0].split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if found["iss"] != ACCOUNT or form["grant_type"] != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            raise Refused(401, "invalid_client", "Unauthorized")
        token = f"token-{len(self._tokens) + 1}"
        self._tokens.add(token)
        return {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    def forget_tokens(self) -> None:
        """Make all that signed in sign in again."""
        self._tokens.clear()

    def answer(self, call: Call, path: str, query: dict[str, list[str]], body: Any, token: str) -> dict[str, Any]:
        """Do a call and return its answer. Raises Refused."""
        with self._lock:
            if self.always is not None:
                raise self.always
            if self.answer_with:
                raise self.answer_with.pop(0)
            if token not in self._tokens:
                raise Refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
            self._count(call)
            if path.split("/")[0].split(":")[0] != SPREADSHEET:
                raise Refused(404, "NOT_FOUND", "Requested entity was not found.")
            if not call.is_read and not self.may_write:
                raise Refused(403, "PERMISSION_DENIED", "The caller does not have permission")
            if call.is_read and query.get("valueRenderOption", ["FORMATTED_VALUE"]) != ["UNFORMATTED_VALUE"]:
                raise bad("the double knows UNFORMATTED_VALUE alone")
            before = json.dumps([vars(tab) for tab in self.tabs]) if call.kind == "batchUpdate" else ""
            try:
                answer = self._done(call.kind, path, query, body)
            except Refused:
                if before:
                    self.tabs = [Tab(**tab) for tab in json.loads(before)]
                raise
            if not call.is_read:
                self._keep()
            return answer

    def _count(self, call: Call) -> None:
        """Count the call in the quota of its minute. Raises Refused behind the last one."""
        key = (self.clock.monotonic_ns() // (60 * NS_PER_S), call.is_read)
        self._used[key] += 1
        if self._used[key] > self.per_minute:
            kind = "Read" if call.is_read else "Write"
            raise quota(
                f"Quota exceeded for quota metric '{kind} requests' and limit '{kind} requests per minute per user'"
            )

    def _done(self, kind: str, path: str, query: dict[str, list[str]], body: Any) -> dict[str, Any]:
        if kind == "get":
            return self._read(unquote(path.partition("/values/")[2]))
        if kind == "batchGet":
            return {"spreadsheetId": SPREADSHEET, "valueRanges": [self._read(one) for one in query["ranges"]]}
        if kind == "put":
            raw = query["valueInputOption"] == ["RAW"]
            return self._write(unquote(path.partition("/values/")[2]), body["values"], raw=raw)
        if kind == "values:batchUpdate":
            raw = body["valueInputOption"] == "RAW"
            for one in body["data"]:
                self._fitting(one["range"], one["values"])
            done = [self._write(one["range"], one["values"], raw=raw) for one in body["data"]]
            return {"spreadsheetId": SPREADSHEET, "responses": done}
        if kind == "batchClear":
            for one in body["ranges"]:
                tab, first, last = self._found(one)
                for row in range(first[0], min(last[0], len(tab.rows) - 1) + 1):
                    for column in range(first[1], min(last[1], len(tab.rows[row]) - 1) + 1):
                        tab.put(row, column, "")
            return {"spreadsheetId": SPREADSHEET, "clearedRanges": body["ranges"]}
        if not body["requests"]:
            raise bad("Must specify at least one request.")
        return {
            "spreadsheetId": SPREADSHEET,
            "replies": [self._change(place, *request.items()) for place, request in enumerate(body["requests"])],
        }

    def _read(self, text: str) -> dict[str, Any]:
        tab, first, last = self._found(text)
        values = tab.block(first, last)
        return {"range": text, "majorDimension": "ROWS", **({"values": values} if values else {})}

    def _fitting(self, text: str, values: list[list[Any]]) -> tuple[Tab, tuple[int, int]]:
        """Tab and first cell of a range that these values can be written to."""
        tab, first, last = self._found(text)
        if tab.protected:
            raise bad(
                "You are trying to edit a protected cell or object. Please contact the spreadsheet owner to remove "
                "protection if you need to edit."
            )
        if len(values) > last[0] - first[0] + 1 or any(len(row) > last[1] - first[1] + 1 for row in values):
            raise bad(f"Requested writing within range [{text}], but tried writing to row or column outside")
        if any(isinstance(value, str) and len(value) > MOST_CHARACTERS for row in values for value in row):
            raise bad("Your input contains more than the maximum of 50000 characters in a single cell.")
        return tab, first

    def _write(self, text: str, values: list[list[Any]], *, raw: bool) -> dict[str, Any]:
        tab, first = self._fitting(text, values)
        for row, cells in enumerate(values, first[0]):
            for column, value in enumerate(cells, first[1]):
                if value is not None:
                    tab.put(row, column, value if raw else _typed(value))
        return {"spreadsheetId": SPREADSHEET, "updatedRange": text, "updatedRows": len(values)}

    def _found(self, text: str) -> tuple[Tab, tuple[int, int], tuple[int, int]]:
        """Tab, first and last cell of a range, counted from 0."""
        found = _RANGE.fullmatch(text)
        title = found[1].replace("''", "'").casefold() if found else ""
        tab = next((tab for tab in self.tabs if tab.title.casefold() == title), None)
        if found is None or tab is None:
            raise bad(f"Unable to parse range: {text}")
        first = int(found[3]) - 1, _column(found[2])
        last = (int(found[5]) - 1 if found[5] else tab.height - 1), _column(found[4] or found[2])
        if max(first[0], last[0] if found[5] else 0) >= tab.height or last[1] >= tab.width:
            raise bad(f"Range ({text}) exceeds grid limits. Max rows: {tab.height}, max columns: {tab.width}")
        return tab, first, last

    def _change(self, place: int, request: tuple[str, Any]) -> dict[str, Any]:
        kind, of = request
        if kind == "addSheet":
            wanted = of["properties"]
            grid = wanted["gridProperties"]
            for name, value, taken in (
                ("name", wanted["title"], [tab.title.casefold() for tab in self.tabs]),
                ("id", wanted["sheetId"], [tab.number for tab in self.tabs]),
            ):
                if (value.casefold() if isinstance(value, str) else value) in taken:
                    raise bad(EXISTS.format(place, name, value, name))
            self.tabs.append(Tab(wanted["title"], wanted["sheetId"], grid["rowCount"], grid["columnCount"]))
            self._require_room()
            return {"addSheet": {"properties": wanted}}
        number = {
            "repeatCell": lambda: of["range"]["sheetId"],
            "updateCells": lambda: of["start"]["sheetId"],
            "appendDimension": lambda: of["sheetId"],
        }[kind]()
        tab = next((tab for tab in self.tabs if tab.number == number), None)
        if tab is None:
            raise bad(f"Invalid requests[{place}].{kind}: No grid with id: {number}")
        if kind == "appendDimension":
            assert of["dimension"] == "ROWS"
            tab.height += of["length"]
            self._require_room()
        elif kind == "updateCells":
            for row, cells in enumerate(of["rows"], of["start"]["rowIndex"]):
                for column, cell in enumerate(cells["values"], of["start"]["columnIndex"]):
                    tab.put(row, column, cell["userEnteredValue"]["stringValue"])
        return {}

    def _require_room(self) -> None:
        if sum(tab.height * tab.width for tab in self.tabs) > self.most_cells:
            raise bad(
                "This action would increase the number of cells in the workbook above the limit of 10000000 cells."
            )

    def _keep(self) -> None:
        if self._state is not None:
            beside = self._state.with_suffix(".part")
            beside.write_text(json.dumps([vars(tab) for tab in self.tabs]), "utf-8")
            beside.replace(self._state)

    def wait_for_release(self, most_s: float | None = None) -> bool:
        return self._released.wait(most_s)


def adapter_of(sheets: Sheets, key: Path, **given: Any) -> DataSourceAdapter:
    """The adapter of the spreadsheet; settings by name, and ``pacing``."""
    from qts.db.sheets import GoogleSheetsAdapter
    from qts.db.sheets.access import CREDENTIALS, access_of

    pacing = given.pop("pacing", None)
    config = SheetsConfig(base_url=sheets.base_url, **given)
    return GoogleSheetsAdapter(access_of(sheets.url, {CREDENTIALS: str(key)}), config, pacing)


def quota(message: str = "Quota exceeded", **headers: str) -> Refused:
    """The answer behind the last call of a minute."""
    return Refused(429, "RESOURCE_EXHAUSTED", message, **headers)


def _typed(value: Any) -> Any:
    """What becomes of a text that is read as a person's: a formula is evaluated, a number loses its zeros."""
    if isinstance(value, str) and value[:1] in ("=", "+"):
        return f"evaluated {value}"
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


@cache
def _private_key() -> str:
    """A key that only this process of the tests has."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is no fault of the double."""


def _handler(sheets: Sheets) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._do()

        def do_PUT(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            parts = urlsplit(self.path)
            try:
                if parts.path == "/token":
                    self._send(200, sheets.token(parse_qs(body.decode())))
                    return
                path = parts.path.removeprefix("/v4/spreadsheets/")
                call = Call(kind_of(self.command, path), self.command == "GET", sheets.clock.monotonic_ns())
                sheets.calls.append(call)
                fault = sheets.cut(call)
                if fault == "before":
                    self._cut()
                    return
                try:
                    token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                    answer = sheets.answer(
                        call, path, parse_qs(parts.query), json.loads(body) if body else None, token
                    )
                except Refused as error:
                    call.status = error.code
                    raise
                if fault == "after":
                    self._cut()
                    return
                if fault == "hold":
                    sheets.wait_for_release()
                if fault == "drip":
                    self._drip()
                    return
                call.status = 200
                self._send(200, answer)
            except Refused as error:
                if parts.path == "/token":
                    self._send(error.code, {"error": error.status, "error_description": str(error)})
                    return
                told = {"code": error.code, "message": str(error), "status": error.status}
                self._send(error.code, {"error": told}, error.headers)

        def _drip(self) -> None:
            """Begin an answer, and go on with it byte by byte until the connection is cut."""
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            with suppress(OSError):
                while not sheets.wait_for_release(0.02):
                    self.wfile.write(b" ")

        def _send(self, code: int, answer: Any, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(answer).encode()
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    return Handler


def kind_of(method: str, path: str) -> str:
    """The route of a call. Raises Refused for one that is none of the six."""
    if method == "GET":
        return "batchGet" if path.endswith("/values:batchGet") else "get"
    if method == "PUT":
        return "put"
    for ending, kind in (
        ("/values:batchUpdate", "values:batchUpdate"),
        ("/values:batchClear", "batchClear"),
        (":batchUpdate", "batchUpdate"),
    ):
        if path.endswith(ending):
            return kind
    raise Refused(404, "NOT_FOUND", f"no such call: {method} {path}")


def main() -> None:
    """Run it until it is killed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--credentials", type=Path, required=True, help="where to write the key file")
    parser.add_argument("--state", type=Path, help="the file that keeps the spreadsheet")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which who started it may have had ignored
    sheets = Sheets(port=given.port, state=given.state)
    sheets.write_credentials(given.credentials)
    with sheets:
        print(f"{sheets.base_url} {sheets.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
