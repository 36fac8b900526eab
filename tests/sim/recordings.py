"""Hand-made recordings: CSV files of one KRX symbol whose price walks on the grid, from a seed."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")
HEADER = "ts,symbol,bid,ask,bid_size,ask_size,last,size"
FIRST_DAY = datetime(2026, 1, 22, tzinfo=KST)
"""A Thursday; the next trading day is Friday the 23rd, the one after it Monday the 26th."""


def row(moment: datetime, bid: int, *, symbol: str = "005930", size: int = 500) -> str:
    return f"{moment.isoformat()},{symbol},{bid},{bid + 100},{size},{size},{bid},{size // 50}"


def walk(rows: int, *, days: int = 1, seed: int = 1, start: int = 150_000) -> list[str]:
    """``rows`` quotes spread over the continuous sessions of ``days`` trading days."""
    rng = random.Random(seed)
    bid, lines = start, []
    per_day = rows // days
    step = timedelta(seconds=6 * 3600 / per_day)
    day, done = FIRST_DAY, 0
    while done < days:
        if day.weekday() < 5:
            moment = day.replace(hour=9, minute=1)
            for _ in range(per_day):
                bid = max(bid + rng.choice((-300, -200, -100, 0, 0, 100, 200, 300)), 10_000)
                lines.append(row(moment, bid))
                moment += step
            done += 1
        day += timedelta(days=1)
    return lines


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path
