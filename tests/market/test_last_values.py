"""The last-value table over splits and dividends."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec

from qts.market.contracts import Bar, Quote, Tick
from qts.market.last_values import LastValues


def table() -> LastValues:
    values = LastValues()
    values.quotes["A"] = Quote("A", 10, D(100), None, D(5), None, D(99))
    values.ticks["A"] = Tick("A", 20, D(98), D(7))
    values.bars["A"] = Bar("A", 5, D(90), D(110), D(80), D(96), D(1_000))
    values.bars["B"] = Bar("B", 5, D(90), D(110), D(80), D(96), D(1_000))
    return values


def stored(values: LastValues) -> LastValues:
    """The table as a checkpoint gives it back."""
    restored = LastValues()
    encoder = msgspec.msgpack.Encoder(decimal_format="string")
    restored.import_state(msgspec.msgpack.decode(encoder.encode(values.export_state())))
    return restored


def test_a_split_converts_every_price_of_its_symbol_and_no_size() -> None:
    values = table()
    values.rescale("A", lambda price: price / 2)
    quote, tick, bar = values.quotes["A"], values.ticks["A"], values.bars["A"]
    assert (quote.bid, quote.ask, quote.last, quote.bid_size) == (50, None, D("49.5"), 5)
    assert (tick.price, tick.size) == (49, 7)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (45, 55, 40, 48, 1_000)
    assert values.bars["B"] == table().bars["B"]
    assert values.mark("A") == 50
    values.rescale("unknown", lambda price: price / 2)


def test_a_dividend_lowers_the_mark_until_the_next_price_and_no_price_itself() -> None:
    values = table()
    values.mark_down("A", D(3))
    values.mark_down("A", D(1))
    values.mark_down("B", D(100))
    assert values.mark("A") == 96
    assert values.last_trade("A") == 98
    # And never below nothing
    assert values.mark("B") == 0
    assert stored(values).mark("A") == 96
    # When a price comes, it counts as it is; a later dividend begins again
    values.quotes["A"] = Quote("A", 30, D(97), None)
    assert values.mark("A") == 97
    values.mark_down("A", D(2))
    assert values.mark("A") == 95


def test_a_split_converts_a_dividend_that_lowers_the_mark_as_well() -> None:
    values = table()
    values.mark_down("A", D(4))
    values.rescale("A", lambda price: price / 2)
    assert values.mark("A") == 48


def test_without_dividends_a_checkpoint_is_what_it_was() -> None:
    assert list(table().export_state()) == ["feed_ts_ns", "quotes", "ticks", "bars"]
