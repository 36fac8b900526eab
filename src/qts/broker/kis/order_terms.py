"""Orders as KIS writes them: the types of each exchange, and the fields of orders, changes and cancels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final

from qts.broker.kis.config import Exchange
from qts.broker.kis.known import Terms
from qts.market.krx import KrxCalendar
from qts.money import ONE, is_multiple
from qts.risk.contracts import OrderRequest, OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce

EXCHANGES: Final[tuple[Exchange, ...]] = ("KRX", "NXT", "SOR")
_DAY, _IOC, _FOK = TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK
_KRX: Final[Mapping[tuple[OrderType, TimeInForce], str]] = {
    (OrderType.LIMIT, _DAY): "00",
    (OrderType.MARKET, _DAY): "01",
    (OrderType.BEST, _DAY): "03",
    (OrderType.LIMIT, _IOC): "11",
    (OrderType.LIMIT, _FOK): "12",
    (OrderType.MARKET, _IOC): "13",
    (OrderType.MARKET, _FOK): "14",
    (OrderType.BEST, _IOC): "15",
    (OrderType.BEST, _FOK): "16",
    (OrderType.MID, _DAY): "21",
    (OrderType.STOP_LIMIT, _DAY): "22",
    (OrderType.MID, _IOC): "23",
    (OrderType.MID, _FOK): "24",
}
_AFTER_MARKET: Final[Mapping[tuple[OrderType, TimeInForce], str]] = {
    (OrderType.LIMIT, _DAY): "41",
    (OrderType.BEST, _DAY): "44",
}
"""The orders of the after-market of KRX: their price is a limit, or that of the other side."""
_AFTER_MARKET_SINCE: Final = date(2026, 9, 14)
_AFTER_MARKET_HOURS: Final = (time(16), time(20))
_CALENDAR: Final = KrxCalendar()
_PAPER: Final = frozenset({"00", "01", "03"})
_NOT_AT: Final[Mapping[Exchange, frozenset[str]]] = {
    "KRX": frozenset(),
    "NXT": frozenset({"01"}),
    "SOR": frozenset({"21", "22", "23", "24"}),
}
_NOT_AFTER_AT_NXT: Final = _NOT_AT["NXT"] | _NOT_AT["SOR"]
_REVISE, _CANCEL = "01", "02"


def is_after_market(moment: datetime) -> bool:
    """Return whether ``moment``, which is in Seoul, is in the hours of the after-market of KRX.

    The regular session goes before: it ends later on some days. Whether the market is open is for KIS to say.
    """
    begins, ends = _AFTER_MARKET_HOURS
    is_then = moment.date() >= _AFTER_MARKET_SINCE and begins <= moment.time() < ends
    return is_then and not _CALENDAR.phase(moment).takes_orders


def divisions(
    exchange: Exchange, *, is_live: bool, after: bool = False
) -> Mapping[tuple[OrderType, TimeInForce], str]:
    """Return the codes (``ORD_DVSN``) of the orders that an exchange takes, by type and time in force.

    A paper account takes none but plain ones of the day. ``after``: in the after-market of KRX, which has codes of
    its own and no orders for SOR; NXT goes on with those of the day, but for midpoints and stops.
    """
    if after and is_live:
        if exchange == "NXT":
            return {kind: code for kind, code in _KRX.items() if code not in _NOT_AFTER_AT_NXT}
        return _AFTER_MARKET if exchange == "KRX" else divisions(exchange, is_live=True)
    return {
        kind: code for kind, code in _KRX.items() if code not in _NOT_AT[exchange] and (is_live or code in _PAPER)
    }


def why_not(request: OrderRequest, exchange: str, *, is_live: bool, after: bool = False) -> str:
    """Return why KIS would not take an order; "" where nothing is wrong with its terms."""
    taken = EXCHANGES if is_live else EXCHANGES[:1]
    if exchange not in taken:
        return f"orders for {exchange} are not taken here; allowed: {', '.join(taken)}"
    known = exchange_of(exchange)
    if (request.type, request.time_in_force) not in divisions(known, is_live=is_live, after=after):
        what = f"{request.type.value} with the time in force {request.time_in_force.value}"
        return f"orders of type {what} are not taken at {exchange}{' after its regular session' if after else ''}"
    if request.type in (OrderType.BEST, OrderType.MID) and request.limit is not None:
        return f"an order of type {request.type.value} takes no limit here"
    if request.qty <= 0 or not is_multiple(request.qty, ONE):
        return f"the quantity {request.qty} is no whole number of shares"
    for price in (request.limit, request.stop_price):
        if price is not None and (price <= 0 or not is_multiple(price, ONE)):
            return f"the price {price} is no whole number of won"
    return ""


def exchange_of(text: str) -> Exchange:
    """Return the exchange that a text names; KRX for what is none."""
    return exchange_in(text) or "KRX"


def exchange_in(text: str) -> Exchange | None:
    """Return the exchange that a text of KIS names: "NXT" for NXT, and for SOR-NXT, which was sent on to it.

    None for what is none.
    """
    name = text.strip().upper().rpartition("-")[2]
    return next((one for one in EXCHANGES if one == name), None)


def order_fields(
    request: OrderRequest, exchange: Exchange, *, is_live: bool, after: bool = False
) -> dict[str, str]:
    """Return the fields of a new order beside those of the account; :func:`why_not` has nothing against it."""
    return {
        "PDNO": request.symbol,
        "ORD_DVSN": divisions(exchange, is_live=is_live, after=after)[request.type, request.time_in_force],
        "ORD_QTY": whole(request.qty),
        "ORD_UNPR": "0" if request.limit is None else whole(request.limit),
        "EXCG_ID_DVSN_CD": exchange,
        "SLL_TYPE": "01" if request.side is Side.SELL else "",
        "CNDT_PRIC": "" if request.stop_price is None else whole(request.stop_price),
    }


def cancel_fields(number: str, terms: Terms, qty: Decimal | None = None) -> dict[str, str]:
    """Return the fields of a cancel of ``qty`` shares, None: of all that is left."""
    return _change_fields(number, terms, _CANCEL, terms.division, qty, "0", "")


def revise_fields(
    number: str, terms: Terms, request: OrderRequest, *, is_live: bool, after: bool = False
) -> dict[str, str]:
    """Return the fields of a change of all that is left to the price and type of ``request``."""
    division = divisions(terms.exchange, is_live=is_live, after=after)[request.type, request.time_in_force]
    price = "0" if request.limit is None else whole(request.limit)
    stop = "" if request.stop_price is None else whole(request.stop_price)
    return _change_fields(number, terms, _REVISE, division, None, price, stop)


def whole(number: Decimal) -> str:
    """Return the text of a whole number."""
    return str(int(number))


def _change_fields(
    number: str, terms: Terms, what: str, division: str, qty: Decimal | None, price: str, stop: str
) -> dict[str, str]:
    return {
        "KRX_FWDG_ORD_ORGNO": terms.branch,
        "ORGN_ODNO": number,
        "ORD_DVSN": division,
        "RVSE_CNCL_DVSN_CD": what,
        "ORD_QTY": "0" if qty is None else whole(qty),
        "ORD_UNPR": price,
        "QTY_ALL_ORD_YN": "Y" if qty is None else "N",
        "EXCG_ID_DVSN_CD": terms.exchange,
        "CNDT_PRIC": stop,
    }
