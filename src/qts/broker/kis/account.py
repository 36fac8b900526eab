"""Questions about the account: the day's orders, holdings, money, and what a day has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Holdings
from qts.broker.kis.answers import Envelope, amount, amount_or_none, day_of, decoded, refuse
from qts.broker.kis.known import KnownOrders
from qts.broker.kis.order_rows import OpenRow, OrderRow, learn_exchanges, orders_of
from qts.broker.kis.rest import KisRest, Query
from qts.clock import Clock
from qts.ledger.contracts import Charges
from qts.market.krx import KST
from qts.money import ZERO, plus, ratio, times

_T = TypeVar("_T")
_TRADING: Final = "/uapi/domestic-stock/v1/trading/"
DAY_ORDERS: Final = Query(f"{_TRADING}inquire-daily-ccld", "TTTC0081R", "VTTC0081R")
OPEN_ORDERS: Final = Query(f"{_TRADING}inquire-psbl-rvsecncl", "TTTC0084R", "")
BALANCE: Final = Query(f"{_TRADING}inquire-balance", "TTTC8434R", "VTTC8434R")
ORDERABLE: Final = Query(f"{_TRADING}inquire-psbl-order", "TTTC8908R", "VTTC8908R", None)
PROFITS: Final = Query(f"{_TRADING}inquire-period-trade-profit", "TTTC8715R", "")
CURRENCY: Final = "KRW"
_ANY_SYMBOL: Final = "005930"
"""The money that can be ordered for is asked for with a symbol; that of the account is the same for all."""


class _HoldingRow(msgspec.Struct, frozen=True):
    pdno: str
    hldg_qty: str
    pchs_avg_pric: str = ""


class _Money(msgspec.Struct, frozen=True):
    prvs_rcdl_excc_amt: str = ""


class _Orderable(msgspec.Struct, frozen=True):
    nrcvb_buy_amt: str = ""
    ord_psbl_cash: str = ""


class _CostRow(msgspec.Struct, frozen=True):
    trad_dt: str
    fee: str
    tl_tax: str


class KisAccount:
    """The questions about one account; each reads all pages. Raises BrokerUnavailable for what is not whole."""

    def __init__(self, rest: KisRest, clock: Clock, known: KnownOrders) -> None:
        self._rest, self._clock, self._known = rest, clock, known

    def fields(self) -> dict[str, str]:
        """Return the fields that name the account; nothing else may show them."""
        number, product = self._rest.access.number.reveal()
        return {"CANO": number, "ACNT_PRDT_CD": product}

    def today(self) -> date:
        """Return the date in Seoul."""
        return self._clock.now().astimezone(KST).date()

    async def orders(self) -> Sequence[BrokerOrder]:
        """Return all orders of today, ended ones too, oldest first.

        A live account has a list of those that are open as well; an order that only this one shows is added.
        """
        day = f"{self.today():%Y%m%d}"
        pages = await self.order_pages()
        rows = [row for page in pages for row in _rows(page.output1, OrderRow, "the list of orders")]
        if not self._rest.access.is_live:
            return orders_of(rows, day, self._known)
        shown = {row.number for row in rows}
        open_rows = await self._open_rows()
        rows += [one for one in (row.as_order for row in open_rows) if one.number not in shown]
        found = orders_of(rows, day, self._known)
        learn_exchanges(open_rows, day_of(day, "today"), self._known)
        return found

    async def order_pages(self) -> list[Envelope]:
        """Return the pages of the list of today's orders, oldest first, ended ones too."""
        day = f"{self.today():%Y%m%d}"
        asked = {
            **self.fields(),
            "INQR_STRT_DT": day,
            "INQR_END_DT": day,
            "SLL_BUY_DVSN_CD": "00",
            "PDNO": "",
            "CCLD_DVSN": "00",
            "INQR_DVSN": "01",  # oldest first: an order that comes meanwhile moves none to another page
            "INQR_DVSN_1": "",
            "INQR_DVSN_3": "00",
            "ORD_GNO_BRNO": "",
            "ODNO": "",
            "EXCG_ID_DVSN_CD": "ALL" if self._rest.access.is_live else "KRX",
        }
        return await self._rest.pages(DAY_ORDERS, asked, "list the orders of today")

    async def positions(self) -> Mapping[str, BrokerPosition]:
        """Return what is held by symbol; rows of quantity 0 stay in the list for two days and are left out."""
        return _held(await self.holding_pages())

    async def balance(self) -> Balance:
        """Return the money with all trades settled (D+2), and what can be ordered for without a loan."""
        cash = _settled(await self.holding_pages())
        return Balance(CURRENCY, cash, await self.orderable())

    async def holdings(self) -> Holdings:
        """Return shares and settled money, which are in one list; what can be ordered for is not asked."""
        pages = await self.holding_pages()
        return Holdings(_held(pages), Balance(CURRENCY, _settled(pages), None))

    async def orderable(self) -> Decimal | None:
        """Return the money that a buy may use without a loan; None where it is not told."""
        asked = {
            **self.fields(),
            "PDNO": _ANY_SYMBOL,
            "ORD_UNPR": "0",
            "ORD_DVSN": "01",
            "CMA_EVLU_AMT_ICLD_YN": "N",
            "OVRS_ICLD_YN": "N",
        }
        envelope = await self._rest.ask(ORDERABLE, asked, "find what can be ordered for")
        found = decoded(envelope.output, _Orderable, "what can be ordered for")
        told = (found.ord_psbl_cash, found.nrcvb_buy_amt)
        amounts = [amount(text, "what can be ordered for") for text in told if text.strip()]
        return min(amounts, default=None)

    async def charges(self, day: date) -> Charges | None:
        """Return fees and taxes of a day; None where no trade of it is listed yet, and for paper accounts.

        A paper account has no list of costs; the balance is asked for in its place, so that no line is not taken
        for no answer.
        """
        if not self._rest.access.is_live:
            await self.holding_pages()
            return None
        text = f"{day:%Y%m%d}"
        asked = {
            **self.fields(),
            "SORT_DVSN": "01",
            "INQR_STRT_DT": text,
            "INQR_END_DT": text,
            "CBLC_DVSN": "00",
            "PDNO": "",
        }
        fees = taxes = ZERO
        count = 0
        for page in await self._rest.pages(PROFITS, asked, "list what the day has cost"):
            for row in _rows(page.output1, _CostRow, "the list of costs"):
                if row.trad_dt != text:
                    continue
                fees = plus(fees, amount(row.fee, "a fee"))
                taxes = plus(taxes, amount(row.tl_tax, "a tax"))
                count += 1
        return Charges(fees, taxes) if count else None

    async def holding_pages(self) -> list[Envelope]:
        """Return the pages of the list of holdings, whose last has the money of the account."""
        return await self._rest.pages(BALANCE, self.holding_fields(), "list the holdings")

    def holding_fields(self) -> dict[str, str]:
        """Return the fields that ask for the holdings, without those of a page."""
        return {
            **self.fields(),
            "AFHR_FLPR_YN": "N",
            "OFL_YN": "",
            "INQR_DVSN": "02",
            "UNPR_DVSN": "01",
            "FUND_STTL_ICLD_YN": "N",
            "FNCG_AMT_AUTO_RDPT_YN": "N",
            "PRCS_DVSN": "00",
        }

    async def _open_rows(self) -> list[OpenRow]:
        asked = {**self.fields(), "INQR_DVSN_1": "0", "INQR_DVSN_2": "0"}
        pages = await self._rest.pages(OPEN_ORDERS, asked, "list the open orders")
        return [row for page in pages for row in _rows(page.output, OpenRow, "the list of open orders")]


def _rows(raw: msgspec.Raw, kind: type[_T], what: str) -> list[_T]:
    return decoded(raw, list[kind], what)  # type: ignore[valid-type]


def _held(pages: Sequence[Envelope]) -> dict[str, BrokerPosition]:
    held: dict[str, BrokerPosition] = {}
    for page in pages:
        for row in _rows(page.output1, _HoldingRow, "the list of holdings"):
            qty = amount(row.hldg_qty, f"the holding of {row.pdno}")
            if not qty:
                continue
            price = amount_or_none(row.pchs_avg_pric, f"the average price of {row.pdno}") or None
            symbol = row.pdno.strip()
            held[symbol] = _together(held.get(symbol), BrokerPosition(qty, price))
    return held


def _settled(pages: Sequence[Envelope]) -> Decimal | None:
    found = _rows(pages[-1].output2, _Money, "the money of the account")
    if not found:
        refuse("the money of the account", "it is missing")
    return amount_or_none(found[0].prvs_rcdl_excc_amt, "the money with all trades settled")


def _together(one: BrokerPosition | None, other: BrokerPosition) -> BrokerPosition:
    """Return one holding of two rows of a symbol, such as shares bought with a loan and with cash."""
    if one is None:
        return other
    qty = plus(one.qty, other.qty)
    price: Decimal | None = None
    if one.average_price is not None and other.average_price is not None and qty:
        cost = plus(times(one.qty, one.average_price), times(other.qty, other.average_price))
        price = ratio(cost, qty)
    return BrokerPosition(qty, price)
