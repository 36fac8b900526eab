"""Small recorded files for the tests, written by hand, and where the real ones are."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from qts.market.contracts import MarketValue
from qts.market.files import open_feed

T0 = 1_723_161_255_000_000_000
"""Local stamp of the first row: 2024-08-08T23:54:15Z."""
OFFSET_MS = 1_250
"""The exchange's clock of the samples runs 1.25 s ahead."""


def real_file(name: str) -> Path:
    """A file of the shared real data; the test skips, saying so, where it is absent."""
    shared = Path(os.environ.get("QTS_SHARED", Path(__file__).resolve().parents[3].parent / "shared"))
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"real market data is not here: {name} (set QTS_SHARED to the folder that has data/)")
    return path


def quote(
    at_ms: int,
    bid: Any = "61800.20",
    ask: Any = "61800.30",
    *,
    u: int = 0,
    ahead_ms: int = OFFSET_MS,
    symbol: str = "BTCUSDT",
    bid_size: Any = "2.507",
    ask_size: Any = "2.510",
) -> bytes:
    local = T0 + at_ms * 1_000_000
    event = local // 1_000_000 + ahead_ms
    return line(
        local,
        f"{symbol.lower()}@bookTicker",
        {
            "e": "bookTicker",
            "u": u or at_ms + 1,
            "s": symbol,
            "b": bid,
            "B": bid_size,
            "a": ask,
            "A": ask_size,
            "T": event,
            "E": event,
        },
    )


def trade(
    at_ms: int,
    trade_id: int,
    price: Any = "61800.30",
    size: Any = "0.006",
    *,
    maker: bool = False,
    ahead_ms: int = OFFSET_MS,
    symbol: str = "BTCUSDT",
) -> bytes:
    local = T0 + at_ms * 1_000_000
    event = local // 1_000_000 + ahead_ms
    body = {
        "e": "trade",
        "E": event,
        "T": event,
        "s": symbol,
        "t": trade_id,
        "p": price,
        "q": size,
        "X": "MARKET",
        "m": maker,
    }
    return line(local, f"{symbol.lower()}@trade", body)


def depth(
    at_ms: int,
    bids: Sequence[Any] = (),
    asks: Sequence[Any] = (),
    *,
    u: int = 0,
    before: int | None = None,
    symbol: str = "BTCUSDT",
) -> bytes:
    """``before`` is the number of the update before this one; None: it does not tell."""
    local = T0 + at_ms * 1_000_000
    event = local // 1_000_000 + OFFSET_MS
    body = {"e": "depthUpdate", "E": event, "T": event, "s": symbol, "u": u or at_ms + 1}
    if before is not None:
        body |= {"U": before + 1, "pu": before}
    return line(local, f"{symbol.lower()}@depth@0ms", {**body, "b": list(bids), "a": list(asks)})


def snapshot(at_ms: int, bids: Sequence[Any], asks: Sequence[Any], update_id: int = 7) -> bytes:
    local = T0 + at_ms * 1_000_000
    event = local // 1_000_000 + OFFSET_MS
    body = {"lastUpdateId": update_id, "E": event, "T": event, "bids": list(bids), "asks": list(asks)}
    return f"{local} {json.dumps(body, separators=(',', ':'))}".encode()


def line(local_ns: int, stream: str, data: dict[str, Any]) -> bytes:
    return f"{local_ns} {json.dumps({'stream': stream, 'data': data}, separators=(',', ':'))}".encode()


def observed(
    ts: str,
    symbol: str = "005930",
    close: Any = 70_000,
    volume: Any = 100,
    *,
    bid: Any = None,
    ask: Any = None,
) -> bytes:
    return json.dumps(
        {
            "ts": ts,
            "session": "s",
            "symbol": symbol,
            "price": {"open": close, "high": close, "low": close, "close": close},
            "volume": volume,
            "bid_price": bid,
            "ask_price": ask,
            "source": "kis",
        }
    ).encode()


def write(path: Path, lines: Iterable[bytes], *, end: bytes = b"\n") -> Path:
    """A plain file, or gzipped when the name ends in .gz."""
    content = b"\n".join(lines) + end
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def read(path: Path, format: str | None = None, **options: Any) -> tuple[list[MarketValue], dict[str, int]]:
    """All values of a file and what was refused."""
    feed = open_feed(path, format, **options)
    return list(feed.values()), dict(feed.rows_refused)
