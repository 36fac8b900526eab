"""Calls that read accounts: balance."""

from __future__ import annotations

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer
from tests.doubles.kis.books import SELLING, Account, Books, Holding
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.market import Market
from tests.doubles.kis.rest import Call, Fields


class AccountCalls:
    """What customers ask about their accounts."""

    def __init__(self, books: Books, market: Market, clock: DoubleClock) -> None:
        self._books, self._market, self._clock = books, market, clock

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        return [
            Call(
                "GET",
                "/uapi/domestic-stock/v1/trading/inquire-balance",
                ("TTTC8434R",),
                ("VTTC8434R",),
                (
                    "CANO", "ACNT_PRDT_CD", "AFHR_FLPR_YN", "OFL_YN", "INQR_DVSN", "UNPR_DVSN", "FUND_STTL_ICLD_YN",
                    "FNCG_AMT_AUTO_RDPT_YN", "PRCS_DVSN", "CTX_AREA_FK100", "CTX_AREA_NK100",
                ),
                self.balance,
                empty=("OFL_YN", "CTX_AREA_FK100", "CTX_AREA_NK100"),
                ledger=True,
            ),
        ]  # fmt: skip

    def balance(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return holdings and money."""
        self._books.settle()
        account = self._books.accounts[keys.account]
        rows = [self._row(account, holding) for holding in account.holdings.values()]
        parts = {
            "ctx_area_fk100": " " * 100,
            "ctx_area_nk100": " " * 100,
            "output1": rows,
            "output2": [self._totals(account)],
        }
        return Answer(parts, "KIOK0510", "조회가 완료되었습니다", "D")

    def _row(self, account: Account, holding: Holding) -> dict[str, str]:
        listing = self._market[holding.code]
        value = holding.qty * listing.price
        reserved = sum(
            order.rest
            for order in self._books.open_orders(account.number)
            if order.code == holding.code and order.side == SELLING
        )
        day = self._clock.day
        gain = value - holding.cost
        return {
            "pdno": holding.code,
            "prdt_name": listing.name,
            "trad_dvsn_name": "현금",
            "bfdy_buy_qty": "0",
            "bfdy_sll_qty": "0",
            "thdt_buyqty": str(holding.bought.get(day, 0)),
            "thdt_sll_qty": str(holding.sold.get(day, 0)),
            "hldg_qty": str(holding.qty),
            "ord_psbl_qty": str(max(0, holding.qty - reserved)),
            "pchs_avg_pric": f"{holding.average:.4f}",
            "pchs_amt": str(holding.cost),
            "prpr": str(listing.price),
            "evlu_amt": str(value),
            "evlu_pfls_amt": str(gain),
            "evlu_pfls_rt": f"{gain * 100 / holding.cost:.2f}" if holding.cost else "0.00",
        }

    def _totals(self, account: Account) -> dict[str, str]:
        day = self._clock.day
        value = sum(one.qty * self._market[one.code].price for one in account.holdings.values())
        today = [charge for charge in account.charges if charge.day == day]
        return {
            "dnca_tot_amt": str(account.cash),
            "nxdy_excc_amt": str(account.cash),
            "prvs_rcdl_excc_amt": str(account.cash_after_settlement),
            "thdt_buy_amt": str(sum(one.amount for one in today if one.side != SELLING)),
            "thdt_sll_amt": str(sum(one.amount for one in today if one.side == SELLING)),
            "thdt_tlex_amt": str(sum(one.cost for one in today)),
            "scts_evlu_amt": str(value),
            "tot_evlu_amt": str(value + account.cash_after_settlement),
            "nass_amt": str(value + account.cash_after_settlement),
        }
