"""Writes prices to try the cookbook with into the folder cookbook-data: random walks, the same at every run.

python examples/cookbook/make_data.py
"""

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

CODES = ("005930", "000660", "035420", "005380", "051910", "068270")
TICK = 500  # won, the price step of the Korean exchange from 200,000 won on; below it they are multiples of one
HEADER = "Date,Open,High,Low,Close,Volume\n"


def on_grid(price):
    return min(max(round(price / TICK), 220), 900) * TICK


def walk(random, price, spread, pull=0.0, home=0.0):
    """The next open, high, low and close."""
    opened = on_grid(price)
    closed = on_grid(opened * (1 + random.gauss(0, spread)) + pull * (home - opened))
    high = on_grid(max(opened, closed) * (1 + abs(random.gauss(0, spread / 3))))
    low = on_grid(min(opened, closed) * (1 - abs(random.gauss(0, spread / 3))))
    return opened, max(high, opened, closed), min(low, opened, closed), closed


def weekdays(first, count):
    day = datetime.fromisoformat(first)
    while count:
        if day.weekday() < 5:
            yield day
            count -= 1
        day += timedelta(days=1)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def daily(folder):
    """Six shares, two years of days."""
    for code in CODES:
        random, price, lines = Random(code), 200_000, [HEADER]
        for day in weekdays("2024-01-02", 520):
            bar = walk(random, price, 0.02)
            lines.append(f"{day:%Y-%m-%d},{','.join(map(str, bar))},{random.randrange(10_000, 900_000)}\n")
            price = bar[-1]
        write(folder / "days" / f"{code}.csv", lines)


def minutes(folder):
    """Two shares that come back to one price, eight days of five minutes."""
    for code in CODES[:2]:
        random, price, lines = Random(code), 200_000, [HEADER]
        for day in weekdays("2026-03-03", 8):
            for step in range(78):
                bar = walk(random, price, 0.004, pull=0.03, home=200_000)
                at = day + timedelta(hours=9, minutes=5 * step)
                lines.append(
                    f"{at:%Y-%m-%d %H:%M}+09:00,{','.join(map(str, bar))},{random.randrange(900, 9_000)}\n"
                )
                price = bar[-1]
        write(folder / "minutes" / f"{code}.csv", lines)


def trades(folder):
    """One share, three days with a quote and a trade every twenty seconds."""
    random, price = Random(CODES[0]), 200_000
    lines = ["ts,symbol,bid,ask,bid_size,ask_size,last,size\n"]
    for day in weekdays("2026-03-03", 3):
        drift = 0.0
        for step in range(1_150):
            drift = 0.97 * drift + random.gauss(0, 0.00004)
            price *= 1 + drift + random.gauss(0, 0.0004)
            last = on_grid(price)
            at = day + timedelta(hours=9, seconds=20 * step + 1)
            sizes = f"{random.randrange(100, 900)},{random.randrange(100, 900)}"
            lines.append(f"{at:%Y-%m-%dT%H:%M:%S}+09:00,{CODES[0]},{last - TICK},{last},{sizes},,\n")
            at += timedelta(seconds=random.randrange(1, 19))
            lines.append(f"{at:%Y-%m-%dT%H:%M:%S}+09:00,{CODES[0]},,,,,{last},{random.randrange(1, 90)}\n")
    write(folder / "trades.csv", lines)


if __name__ == "__main__":
    data = Path("cookbook-data")
    daily(data)
    minutes(data)
    trades(data)
    print(f"written: {data / 'days'}, {data / 'minutes'}, {data / 'trades.csv'}")
