"""Calls that read accounts: balance, orders with what was filled of them, what can be bought, sold or cancelled."""

from __future__ import annotations

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer
from tests.doubles.kis.balance import holding_row, totals
from tests.doubles.kis.books import BUYING, CANCEL, REVISE, SELLING, Account, Books, Order
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import Days
from tests.doubles.kis.market import Market
from tests.doubles.kis.paging import Pager, Row
from tests.doubles.kis.rest import Call, Fields
from tests.doubles.kis.rules import Rules, Wanted
from tests.doubles.kis.settings import Settings

AT = "/uapi/domestic-stock/v1/trading/"
ACCOUNT = ("CANO", "ACNT_PRDT_CD")
PAGE = ("CTX_AREA_FK100", "CTX_AREA_NK100")
KIND_NAMES = {"00": "지정가", "01": "시장가", "02": "조건부지정가", "03": "최유리지정가", "04": "최우선지정가"}
READ = ("KIOK0510", "조회가 완료되었습니다")
NOTHING = ("KIOK0560", "조회할 내용이 없습니다")


class AccountCalls:
    """What customers ask about their accounts."""

    def __init__(
        self,
        books: Books,
        market: Market,
        rules: Rules,
        pager: Pager,
        days: Days,
        clock: DoubleClock,
        settings: Settings,
        *,
        is_paper: bool,
    ) -> None:
        self._books, self._market, self._rules, self._pager = books, market, rules, pager
        self._days, self._clock, self._settings, self._is_paper = days, clock, settings, is_paper

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        balance = (
            *ACCOUNT, "AFHR_FLPR_YN", "OFL_YN", "INQR_DVSN", "UNPR_DVSN", "FUND_STTL_ICLD_YN",
            "FNCG_AMT_AUTO_RDPT_YN", "PRCS_DVSN", *PAGE,
        )  # fmt: skip
        daily = (
            *ACCOUNT, "INQR_STRT_DT", "INQR_END_DT", "SLL_BUY_DVSN_CD", "PDNO", "CCLD_DVSN", "INQR_DVSN",
            "INQR_DVSN_1", "INQR_DVSN_3", "ORD_GNO_BRNO", "ODNO", "EXCG_ID_DVSN_CD", *PAGE,
        )  # fmt: skip
        daily_empty = ("PDNO", "INQR_DVSN_1", "ORD_GNO_BRNO", "ODNO", "EXCG_ID_DVSN_CD", *PAGE)
        buyable = (*ACCOUNT, "PDNO", "ORD_UNPR", "ORD_DVSN", "CMA_EVLU_AMT_ICLD_YN", "OVRS_ICLD_YN")
        changeable = (*ACCOUNT, "INQR_DVSN_1", "INQR_DVSN_2", *PAGE)
        assets = (*ACCOUNT, "INQR_DVSN_1", "BSPR_BF_DT_APLY_YN")
        return [
            self._call("inquire-balance", "TTTC8434R", balance, self.balance, ("OFL_YN", *PAGE)),
            self._call("inquire-daily-ccld", "TTTC0081R", daily, self.daily, daily_empty, older="CTSC9215R"),
            self._call("inquire-psbl-order", "TTTC8908R", buyable, self.buyable, ("PDNO", "ORD_UNPR")),
            self._call("inquire-psbl-sell", "TTTC8408R", (*ACCOUNT, "PDNO"), self.sellable, live_only=True),
            self._call("inquire-psbl-rvsecncl", "TTTC0084R", changeable, self.changeable, PAGE, live_only=True),
            self._call("inquire-account-balance", "CTRP6548R", assets, self.assets, assets[2:], live_only=True),
        ]

    def _call(
        self,
        name: str,
        tr_id: str,
        fields: tuple[str, ...],
        handler: object,
        empty: tuple[str, ...] = (),
        *,
        older: str = "",
        live_only: bool = False,
    ) -> Call:
        live = (tr_id, older) if older else (tr_id,)
        paper = () if live_only else tuple("V" + one[1:] for one in live)
        return Call("GET", AT + name, live, paper, fields, handler, empty, ledger=True)  # type: ignore[arg-type]

    # -- holdings and money ------------------------------------------------------------------------------------

    def balance(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return holdings and money."""
        account = self._books.shown_account(keys.account)
        size = self._settings.paper_holdings if self._is_paper else self._settings.live_holdings
        page = self._pager.page(
            list(account.holdings.values()),
            size,
            fields,
            tr_cont,
            tr_id,
            name="inquire-balance",
            key=lambda one: one.code,
            row=lambda one: holding_row(
                one, self._market, self._clock.day, self._yesterday(), self._rules, account
            ),
        )
        parts = {
            "ctx_area_fk100": page.search,
            "ctx_area_nk100": page.next,
            "output1": page.rows,
            "output2": [totals(account, self._market, self._clock.day, self._days)],
        }
        return Answer(parts, *(READ if page.rows else NOTHING), page.tr_cont)

    def _yesterday(self) -> str:
        return self._days.after(self._clock.day, -1)

    def assets(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return the account's assets by kind, and in all."""
        account = self._books.accounts[keys.account]
        whole = totals(account, self._market, self._clock.day, self._days)
        shares = {
            "pchs_amt": str(sum(one.cost for one in account.holdings.values())),
            "evlu_amt": whole["scts_evlu_amt"],
            "evlu_pfls_amt": whole["evlu_pfls_smtl_amt"],
            "crdt_lnd_amt": "0",
            "real_nass_amt": whole["scts_evlu_amt"],
            "whol_weit_rt": "0.00",
        }
        output2 = {
            "pchs_amt_smtl": shares["pchs_amt"],
            "nass_tot_amt": whole["nass_amt"],
            "loan_amt_smtl": "0",
            "evlu_pfls_amt_smtl": whole["evlu_pfls_smtl_amt"],
            "evlu_amt_smtl": whole["scts_evlu_amt"],
            "tot_asst_amt": whole["tot_evlu_amt"],
            "tot_dncl_amt": whole["dnca_tot_amt"],
            "dncl_amt": whole["dnca_tot_amt"],
        }
        return Answer({"Output1": [shares], "Output2": output2, "output1": [shares], "output2": output2})

    def buyable(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return how much can be bought at a price: an order at the market is counted at the upper limit."""
        account = self._books.accounts[keys.account]
        code, kind = fields["PDNO"], fields["ORD_DVSN"]
        if code and code not in self._market.listings:
            raise self._rules.refusal("unknown_code")
        price = self._rules.counted_price(code, kind, int(fields["ORD_UNPR"] or 0)) if code else 0
        cash = max(0, self._rules.orderable_cash(account))
        qty = cash // price if price else 0  # without a name only the cash is asked for
        while qty and self._rules.needed(Wanted(BUYING, code, "00", "KRX", qty, price)) > cash:
            qty -= 1
        output = {
            "ord_psbl_cash": str(cash),
            "ord_psbl_sbst": "0",
            "ruse_psbl_amt": "0",
            "fund_rpch_chgs": "0",
            "psbl_qty_calc_unpr": str(price),
            "nrcvb_buy_amt": str(cash),
            "nrcvb_buy_qty": str(qty),
            "max_buy_amt": str(cash),
            "max_buy_qty": str(qty),
            "cma_evlu_amt": "0",
            "ovrs_re_use_amt_wcrc": "0",
            "ord_psbl_frcr_amt_wcrc": "0",
        }
        return Answer({"output": output})

    def sellable(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return how much of a holding can be sold."""
        account = self._books.accounts[keys.account]
        holding = account.holdings.get(fields["PDNO"])
        if holding is None:
            raise self._rules.refusal("no_holding")
        row = holding_row(holding, self._market, self._clock.day, self._yesterday(), self._rules, account)
        output = {
            "pdno": row["pdno"],
            "prdt_name": row["prdt_name"],
            "buy_qty": row["thdt_buyqty"],
            "sll_qty": row["thdt_sll_qty"],
            "cblc_qty": row["hldg_qty"],
            "nsvg_qty": "0",
            "ord_psbl_qty": row["ord_psbl_qty"],
            "pchs_avg_pric": row["pchs_avg_pric"],
            "pchs_amt": row["pchs_amt"],
            "now_pric": row["prpr"],
            "evlu_amt": row["evlu_amt"],
            "evlu_pfls_amt": row["evlu_pfls_amt"],
            "evlu_pfls_rt": row["evlu_pfls_rt"],
        }
        return Answer({"output": output})

    # -- orders ------------------------------------------------------------------------------------------------

    def _visible(self, account: Account) -> list[Order]:
        now = self._clock.time_ns()
        return [one for one in self._books.today(account.number) if one.visible_ns <= now]

    def daily(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return orders of days, each with all that was filled of it; there is no row of a single fill."""
        account = self._books.accounts[keys.account]
        now = self._clock.time_ns()
        asked = [
            order
            for day, orders in sorted(self._books.by_day.items())
            if fields["INQR_STRT_DT"] <= day <= fields["INQR_END_DT"]
            for order in orders
            if order.account == account.number and order.visible_ns <= now and self._is_asked(order, fields)
        ]
        if fields["INQR_DVSN"] == "00":
            asked.reverse()
        size = self._settings.paper_rows if self._is_paper else self._settings.live_rows
        page = self._pager.page(
            asked,
            size,
            fields,
            tr_cont,
            tr_id,
            name="inquire-daily-ccld",
            key=lambda one: one.day + one.number,
            row=self._daily_row,
        )
        qty = sum(order.filled for order in asked)
        amount = sum(order.amount for order in asked)
        output2 = {
            "tot_ord_qty": str(sum(order.qty for order in asked)),
            "tot_ccld_qty": str(qty),
            "tot_ccld_amt": str(amount),
            "prsm_tlex_smtl": "0",
            "pchs_avg_pric": f"{amount / qty:.4f}" if qty else "0.0000",
        }
        parts = {
            "ctx_area_fk100": page.search,
            "ctx_area_nk100": page.next,
            "output1": page.rows,
            "output2": output2,
        }
        return Answer(parts, *(READ if page.rows else NOTHING), page.tr_cont)

    def _is_asked(self, order: Order, fields: Fields) -> bool:
        if order.action == CANCEL and not self._settings.cancel_rows:
            return False
        venue = fields["EXCG_ID_DVSN_CD"] or self._settings.empty_venue
        by_state = {"00": True, "01": order.filled > 0, "02": order.is_open}[fields["CCLD_DVSN"]]
        return (
            fields["SLL_BUY_DVSN_CD"] in ("00", order.side)
            and fields["PDNO"] in ("", order.code)
            and fields["ODNO"].strip() in ("", order.number, order.number.lstrip("0"))
            and venue in ("ALL", order.venue, order.routed)
            and by_state
        )

    def _daily_row(self, order: Order) -> Row:
        is_cancel = order.action == CANCEL
        marks = self._settings.cancel_marks
        is_marked = (is_cancel and marks in ("cancel", "both")) or (
            not is_cancel and order.cancelled > 0 and marks in ("original", "both")
        )
        shown = {"asked": order.venue, "routed": order.routed, "both": f"SOR-{order.routed}"}
        venue = shown[self._settings.sor_rows] if order.venue == "SOR" else order.venue
        filled, amount = self._books.shown(order)
        average = f"{amount / filled:.0f}" if filled else "0"
        gone = order.moved if self._settings.revise_counts_as_cancel else 0
        rest = order.rest + order.filled - filled
        if self._settings.expired_rest_stays:
            rest += order.expired
        else:
            gone += order.expired
        return {
            "ord_dt": order.day,
            "ord_gno_brno": order.branch,
            "odno": order.number,
            "orgn_odno": order.original,
            "ord_dvsn_name": _kind_name(order),
            "sll_buy_dvsn_cd": order.side,
            "sll_buy_dvsn_cd_name": _side_name(order),
            "pdno": order.code,
            "prdt_name": self._market[order.code].name,
            "ord_qty": str(order.qty),
            "ord_unpr": str(order.price),
            "ord_tmd": order.time,
            "tot_ccld_qty": str(filled),
            "avg_prvs": average,
            "cncl_yn": "Y" if is_marked else "N",
            "tot_ccld_amt": str(amount),
            "loan_dt": "",
            "ordr_empno": "OpnAPI",
            "ord_dvsn_cd": order.kind,
            "cnc_cfrm_qty": str(order.cancelled + gone),
            "rmn_qty": str(rest),
            "rjct_qty": str(order.rejected),
            "ccld_cndt_name": "없음",
            "infm_tmd": order.time,
            "prdt_type_cd": "300",
            "excg_dvsn_cd": "03" if order.routed == "NXT" else "02",
            self._settings.venue_column: venue,
            "stpm_cndt_pric": str(order.trigger),
            "stpm_efct_occr_dtmd": "",
        }

    def changeable(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return open orders with what can be revised or cancelled of them."""
        account = self._books.accounts[keys.account]
        sides = {"0": (BUYING, SELLING), "1": (SELLING,), "2": (BUYING,)}[fields["INQR_DVSN_2"]]
        found = [order for order in reversed(self._visible(account)) if order.is_open and order.side in sides]
        page = self._pager.page(
            found,
            self._settings.live_holdings,
            fields,
            tr_cont,
            tr_id,
            name="inquire-psbl-rvsecncl",
            key=lambda one: one.number,
            row=self._changeable_row,
        )
        parts = {"ctx_area_fk100": page.search, "ctx_area_nk100": page.next, "output": page.rows}
        return Answer(parts, *(READ if page.rows else NOTHING), page.tr_cont)

    def _changeable_row(self, order: Order) -> Row:
        return {
            "ord_gno_brno": order.branch,
            "odno": order.number,
            "orgn_odno": order.original,
            "ord_dvsn_name": _kind_name(order),
            "pdno": order.code,
            "prdt_name": self._market[order.code].name,
            "rvse_cncl_dvsn_name": "정정" if order.action == REVISE else "",
            "ord_qty": str(order.qty),
            "ord_unpr": str(order.price),
            "ord_tmd": order.time,
            "tot_ccld_qty": str(order.filled),
            "tot_ccld_amt": str(order.amount),
            "psbl_qty": str(order.rest),
            "sll_buy_dvsn_cd": order.side,
            "ord_dvsn_cd": order.kind,
            "mgco_aptm_odno": "",
            "excg_dvsn_cd": "03" if order.routed == "NXT" else "02",
            "excg_id_dvsn_cd": order.routed,
            "excg_id_dvsn_name": order.routed,
            "stpm_cndt_pric": str(order.trigger),
            "stpm_efct_occr_yn": "Y" if order.triggered else "N",
        }


def _kind_name(order: Order) -> str:
    name = KIND_NAMES.get(order.kind, order.kind)
    return {REVISE: f"{name} 정정", CANCEL: f"{name} 취소"}.get(order.action, name)


def _side_name(order: Order) -> str:
    name = "현금매도" if order.side == SELLING else "현금매수"
    return {REVISE: f"{name}정정*", CANCEL: f"{name}취소*"}.get(order.action, name)
