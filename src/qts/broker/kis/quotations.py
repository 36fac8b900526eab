"""Prices and flags that KIS answers to a question: what the websocket does not tell, or has no place for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final, Protocol, TypeVar

import msgspec

from qts.broker.kis.answers import decoded
from qts.broker.kis.quotation_values import positive_number
from qts.broker.kis.records import MarketStatus
from qts.broker.kis.rest import KisRest, Query
from qts.broker.kis.stream_config import Venue
from qts.errors import BrokerUnavailable
from qts.market.files.refusals import RowRefused
from qts.market.session_info import Designation, SessionInfo, TradingStatus

_AT: Final = "/uapi/domestic-stock/v1/quotations/"
PRICE: Final = Query(f"{_AT}inquire-price", "FHKST01010100", "FHKST01010100", None)
BOOK: Final = Query(f"{_AT}inquire-asking-price-exp-ccn", "FHKST01010200", "FHKST01010200", None)
_DIVISIONS: Final[Mapping[Venue, str]] = {"KRX": "J", "NXT": "NX", "unified": "UN"}
_HALTED: Final = "58"
_OF_STOCK: Final = {
    "51": Designation.ADMINISTRATIVE,
    "52": Designation.DANGER,
    "53": Designation.WARNING,
    "54": Designation.CAUTION,
    "59": Designation.OVERHEATED,
}
_OF_WARNING: Final = {"01": Designation.CAUTION, "02": Designation.WARNING, "03": Designation.DANGER}
_OF_VI: Final = {
    "1": TradingStatus.VI_STATIC,
    "2": TradingStatus.VI_DYNAMIC,
    "3": TradingStatus.VI_STATIC_AND_DYNAMIC,
}
_T = TypeVar("_T")


class PriceRow(msgspec.Struct, frozen=True):
    """The answer about one symbol; "" where a field is empty or missing."""

    stck_prpr: str = ""
    acml_vol: str = ""
    stck_sdpr: str = ""
    stck_mxpr: str = ""
    stck_llam: str = ""
    iscd_stat_cls_code: str = ""
    temp_stop_yn: str = ""
    vi_cls_code: str = ""
    mrkt_warn_cls_code: str = ""
    short_over_yn: str = ""
    sltr_yn: str = ""
    mang_issu_cls_code: str = ""


class Quotations(Protocol):
    """The answers of KIS about symbols. On the loop of who asks."""

    async def price(self, symbol: str) -> PriceRow:
        """Return price, base, band and flags of ``symbol``. Raises BrokerUnavailable."""
        ...

    async def book(self, symbol: str) -> Mapping[str, str]:
        """Return the fields of the book of ``symbol``, and its last price. Raises BrokerUnavailable."""
        ...


class RestQuotations:
    """The answers of the REST calls."""

    def __init__(self, rest: KisRest, venue: Venue) -> None:
        self._rest = rest
        self._division = _DIVISIONS[venue]

    async def price(self, symbol: str) -> PriceRow:
        """Return price, base, band and flags of ``symbol``. Raises BrokerUnavailable."""
        what = f"get the price of {symbol}"
        envelope = await self._rest.ask(PRICE, self._fields(symbol), what)
        return decoded(envelope.output, PriceRow, what)

    async def book(self, symbol: str) -> Mapping[str, str]:
        """Return the fields of the book of ``symbol``, and its last price. Raises BrokerUnavailable."""
        what = f"get the book of {symbol}"
        envelope = await self._rest.ask(BOOK, self._fields(symbol), what)
        return {
            **decoded(envelope.output1, dict[str, str], what),
            "stck_prpr": decoded(envelope.output2, dict[str, str], what).get("stck_prpr", ""),
        }

    def _fields(self, symbol: str) -> dict[str, str]:
        return {"FID_COND_MRKT_DIV_CODE": self._division, "FID_INPUT_ISCD": symbol}


def session_info_of(symbol: str, row: PriceRow, ts_ns: int, day: date) -> SessionInfo:
    """Return what the answer says of how ``symbol`` trades on ``day``. Raises BrokerUnavailable for no numbers."""
    return SessionInfo(
        symbol=symbol,
        ts_ns=ts_ns,
        day=day,
        base_price=_price(row.stck_sdpr, symbol),
        low=_price(row.stck_llam, symbol),
        high=_price(row.stck_mxpr, symbol),
        status=_status(row),
        designations=_designations(row),
    )


def with_status(info: SessionInfo, status: MarketStatus) -> SessionInfo:
    """Return ``info`` with what the websocket says of its status; what that leaves open is unknown."""
    found: TradingStatus | None = None
    if status.halted or status.stock == _HALTED:
        found = TradingStatus.HALTED
    elif status.vi in _OF_VI:
        found = _OF_VI[status.vi]
    elif status.halted is False and status.vi in ("N", "0"):
        found = TradingStatus.NORMAL
        if info.designations is not None and Designation.OVERHEATED in info.designations:
            found = TradingStatus.SINGLE_PRICE
    return msgspec.structs.replace(info, ts_ns=status.ts_ns, status=found)


def _price(text: str, symbol: str) -> Decimal | None:
    try:
        return positive_number(text)
    except RowRefused:
        raise BrokerUnavailable(f"KIS: the price of {symbol} has {text!a} where a number stands") from None


def _status(row: PriceRow) -> TradingStatus | None:
    """Return the status; None where one of its fields is empty."""
    if row.temp_stop_yn == "Y" or row.iscd_stat_cls_code == _HALTED:
        return TradingStatus.HALTED
    if row.vi_cls_code in _OF_VI:
        return _OF_VI[row.vi_cls_code]
    if not (row.temp_stop_yn == "N" and row.vi_cls_code == "N" and row.iscd_stat_cls_code):
        return None
    if row.short_over_yn == "Y" or row.iscd_stat_cls_code == "59":
        return TradingStatus.SINGLE_PRICE
    return TradingStatus.NORMAL


def _designations(row: PriceRow) -> frozenset[Designation] | None:
    """Return all marks; None where one of the fields that name them is empty."""
    flags = {
        Designation.ADMINISTRATIVE: row.mang_issu_cls_code,
        Designation.OVERHEATED: row.short_over_yn,
        Designation.LIQUIDATION: row.sltr_yn,
    }
    if not all(flags.values()) or not (row.iscd_stat_cls_code and row.mrkt_warn_cls_code):
        return None
    found = {mark for mark, flag in flags.items() if flag != "N"}
    for table, code in ((_OF_STOCK, row.iscd_stat_cls_code), (_OF_WARNING, row.mrkt_warn_cls_code)):
        if code in table:
            found.add(table[code])
    return frozenset(found)
