"""The lists of a session in a cache, as they stand on a screen and as programs get them."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal as D

from qts.cache.contracts import OrderValue
from qts.cli.cached_status import VALUES, values_text
from qts.runtime.caching.cache_reading import CachedValues
from qts.runtime.orders.unknown_view import UnknownOrderView


def test_an_average_has_four_digits_on_a_screen_and_all_of_them_for_programs() -> None:
    # Given 204 sold for 6,302,250 in several fills
    price = D("30893.38235294117647058823529")
    sold = OrderValue(
        at_ns=1,
        status="FILLED",
        strategy="two-ema",
        symbol="000660",
        side="SELL",
        qty=D(204),
        filled_qty=D(204),
        pending_qty=D(0),
        avg_fill_price=price,
    )
    found = CachedValues("Valkey 8.1.0", "main", {"o-37": sold}, 0.25, 0)
    screen, program = argparse.Namespace(csv=False, json=False), argparse.Namespace(csv=True, json=False)
    # When it is shown, Then a person reads it to four digits
    assert " 30,893.3824  FILLED" in values_text(VALUES["orders"], found, screen, 0, 120)[0]
    # And a program gets what is in the cache
    row = values_text(VALUES["orders"], found, program, 0, 120)[0].splitlines()[1]
    assert row == f"o-37,two-ema,000660,SELL,204,204,0,,{price},FILLED"


def test_orders_of_unknown_fate_are_named_like_those_of_a_run() -> None:
    # Given a buy of 10 whose fate the session does not know, and of which the cache has no value
    order = UnknownOrderView(
        order_id="o-9",
        strategy="one",
        symbol="005930",
        side="BUY",
        qty=D(10),
        filled=D(0),
        limit=D(150_000),
        since_ns=1,
        asked=3,
        next_s=0.8,
        cash=D(1_500_225),
        shares=D(0),
        currency="KRW",
    )
    found: CachedValues[OrderValue] = CachedValues("Valkey 8.1.0", "main", {}, None, (), (order,))
    screen, program = argparse.Namespace(csv=False, json=False), argparse.Namespace(csv=False, json=True)
    # When the orders are shown, Then the sentence of 'qts orders' is below them
    lines = values_text(VALUES["orders"], found, screen, 0, 400)[0].splitlines()
    assert lines[1] == "no orders"
    assert lines[2] == (
        "the fate of order o-9 (BUY 10 005930 at 150,000) is unknown: the broker was asked 3 times, the next "
        "question in 0.8 s; 1,500,225 KRW held back, and no other BUY of 005930 leaves meanwhile"
    )
    # And a program gets them, of a list of orders alone
    told = json.loads(values_text(VALUES["orders"], found, program, 0, 400)[0])
    assert [one["order_id"] for one in told["unknown_orders"]] == ["o-9"]
    positions = json.loads(values_text(VALUES["positions"], found, program, 0, 400)[0])
    assert "unknown_orders" not in positions
