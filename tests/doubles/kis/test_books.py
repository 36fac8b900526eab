"""Books: whatever happens, quantities, shares and money add up, and rows and notices tell the same."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from tests.doubles.kis import KisDouble
from tests.doubles.kis.answers import Refused
from tests.doubles.kis.books import BUYING, CANCEL, Order, cost_of
from tests.doubles.kis.rules import Wanted
from tests.effort import examples

CASH, SHARES = 50_000_000, 300
CODES = ("005930", "000660")


def act(kis: KisDouble, chance: random.Random) -> None:
    """Do something that a customer or the market may do."""
    code = chance.choice(CODES)
    listing = kis.market[code]
    open_orders = [one for one in kis.books.open_orders() if one.code == code]
    price = chance.choice(listing.ladder(listing.price, 8, chance.choice((-1, 1))))
    what = chance.random()
    if what < 0.45:
        kind, venue = chance.choice((("00", "KRX"), ("01", "KRX"), ("11", "KRX"), ("12", "NXT"), ("03", "SOR")))
        limit = price if kind in ("00", "11", "12") else 0
        side = chance.choice(("buy", "sell"))
        kis.by_hand(side, code, chance.randrange(1, 90), limit, kind=kind, venue=venue)
    elif what < 0.55 and open_orders:
        order = chance.choice(open_orders)
        kis.trading.cancel(order, chance.randrange(1, order.rest + 1))
    elif what < 0.65 and open_orders:
        order = chance.choice(open_orders)
        qty = chance.randrange(1, order.rest + 1)
        kis.trading.revise(kis.account, order, Wanted(order.side, code, "00", order.venue, qty, price))
    elif what < 0.67 and open_orders:
        kis.trading.reject(chance.choice(open_orders))
    elif what < 0.9:
        kis.market.trade(code, price, chance.randrange(1, 60), venue=chance.choice(("KRX", "NXT")))
    else:
        kis.market.quote(code, price, price + listing.step(price), chance.randrange(1, 200))


def check(kis: KisDouble) -> None:
    """Check that everything adds up."""
    filled: Counter[tuple[str, str]] = Counter()
    held: Counter[str] = Counter(dict.fromkeys(CODES, SHARES))
    money = CASH
    for fill in kis.books.fills:
        order, amount = fill.order, fill.qty * fill.price
        filled[order.day, order.number] += fill.qty
        held[order.code] += fill.qty if order.side == BUYING else -fill.qty
        money += (-amount if order.side == BUYING else amount) - cost_of(order.side, amount)
    for key, order in kis.books.orders.items():
        check_order(order, filled[key])
    assert Counter({code: one.qty for code, one in kis.account.holdings.items()}) == held
    assert kis.account.cash_after_settlement == money
    assert kis.rules.orderable_cash(kis.account) >= 0
    assert all(kis.rules.sellable(kis.account, code) >= 0 for code in CODES)
    told = Counter[str]()
    for record in kis.notices.sent:
        if record[13] == "2":
            told[record[2]] += int(record[9])
    assert told == Counter({number: qty for (_, number), qty in filled.items() if qty})


def check_order(order: Order, filled: int) -> None:
    assert order.filled == filled
    if order.action == CANCEL:
        assert (order.filled, order.rest) == (0, 0)
    else:
        assert (
            0 <= order.rest == order.qty - filled - order.moved - order.cancelled - order.rejected - order.expired
        )


@pytest.mark.parametrize("seed", range(examples(4, whole=300)))
def test_quantities_shares_and_money_add_up(seed: int) -> None:
    chance = random.Random(seed)
    kis = KisDouble(seed=seed, cash=CASH, speed=0)
    for code in CODES:
        kis.hold(code, SHARES, 50_000)
    refused = Counter[str]()
    for _ in range(150):
        try:
            act(kis, chance)
        except Refused as error:
            refused[error.body["msg_cd"]] += 1
        check(kis)
    assert kis.books.fills
    assert refused
    # When the day and the settlement of its trades are over
    kis.clock.jump(timedelta(days=3))
    kis.schedule.catch_up()
    check(kis)
    assert kis.books.open_orders() == []
    assert kis.account.cash == kis.account.cash_after_settlement
