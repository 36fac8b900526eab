"""The lists of a session in a cache, as they stand on a screen and as programs get them."""

from __future__ import annotations

import argparse
from decimal import Decimal as D

from qts.cache.contracts import OrderValue
from qts.cli.cached_status import VALUES, values_text
from qts.runtime.caching.cache_reading import CachedValues


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
