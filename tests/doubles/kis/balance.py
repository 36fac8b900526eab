"""Rows of the balance: holdings, and money by the day on which it is settled."""

from __future__ import annotations

from tests.doubles.kis.books import BUYING, SELLING, Account, Holding, flow
from tests.doubles.kis.days import Days
from tests.doubles.kis.market import Market
from tests.doubles.kis.rules import Rules


def holding_row(
    holding: Holding, market: Market, day: str, yesterday: str, rules: Rules, account: Account
) -> dict[str, str]:
    """Return the row of a holding; one that was sold out has quantity 0."""
    listing = market[holding.code]
    value = holding.qty * listing.price
    gain = value - holding.cost
    rate = f"{gain * 100 / holding.cost:.2f}" if holding.cost else "0.00"
    return {
        "pdno": holding.code,
        "prdt_name": listing.name,
        "trad_dvsn_name": "현금",
        "bfdy_buy_qty": str(holding.bought.get(yesterday, 0)),
        "bfdy_sll_qty": str(holding.sold.get(yesterday, 0)),
        "thdt_buyqty": str(holding.bought.get(day, 0)),
        "thdt_sll_qty": str(holding.sold.get(day, 0)),
        "hldg_qty": str(holding.qty),
        "ord_psbl_qty": str(rules.sellable(account, holding.code)),
        "pchs_avg_pric": f"{holding.average:.4f}",
        "pchs_amt": str(holding.cost),
        "prpr": str(listing.price),
        "evlu_amt": str(value),
        "evlu_pfls_amt": str(gain),
        "evlu_pfls_rt": rate,
        "evlu_erng_rt": "0.00000000",
        "loan_dt": "",
        "loan_amt": "0",
        "stln_slng_chgs": "0",
        "expd_dt": "",
        "fltt_rt": f"{(listing.price - listing.base) * 100 / listing.base:.8f}",
        "bfdy_cprs_icdc": str(listing.price - listing.base),
        "item_mgna_rt_name": "20%",
        "grta_rt_name": "",
        "sbst_pric": "0",
        "stck_loan_unpr": "0.0000",
    }


def totals(account: Account, market: Market, day: str, days: Days) -> dict[str, str]:
    """Return the money of an account: ``dnca_tot_amt`` as it is now, ``nxdy_excc_amt`` of the next day,
    ``prvs_rcdl_excc_amt`` with all trades settled."""
    tomorrow, yesterday = days.after(day), days.after(day, -1)
    next_day = account.cash + sum(flow(one) for one in account.charges if one.settles <= tomorrow)
    value = sum(one.qty * market[one.code].price for one in account.holdings.values())
    cost = sum(one.cost for one in account.holdings.values())
    worth = value + account.cash_after_settlement
    charges = [*account.charges, *account.settled]

    def amount(on: str, side: str) -> str:
        return str(sum(one.amount for one in charges if one.day == on and one.side == side))

    def fees(on: str) -> str:
        return str(sum(one.cost for one in charges if one.day == on))

    return {
        "dnca_tot_amt": str(account.cash),
        "nxdy_excc_amt": str(next_day),
        "prvs_rcdl_excc_amt": str(account.cash_after_settlement),
        "cma_evlu_amt": "0",
        "bfdy_buy_amt": amount(yesterday, BUYING),
        "thdt_buy_amt": amount(day, BUYING),
        "nxdy_auto_rdpt_amt": "0",
        "bfdy_sll_amt": amount(yesterday, SELLING),
        "thdt_sll_amt": amount(day, SELLING),
        "d2_auto_rdpt_amt": "0",
        "bfdy_tlex_amt": fees(yesterday),
        "thdt_tlex_amt": fees(day),
        "tot_loan_amt": "0",
        "scts_evlu_amt": str(value),
        "tot_evlu_amt": str(worth),
        "nass_amt": str(worth),
        "fncg_gld_auto_rdpt_yn": "",
        "pchs_amt_smtl_amt": str(cost),
        "evlu_amt_smtl_amt": str(value),
        "evlu_pfls_smtl_amt": str(value - cost),
        "tot_stln_slng_chgs": "0",
        "bfdy_tot_asst_evlu_amt": str(worth),
        "asst_icdc_amt": "0",
        "asst_icdc_erng_rt": "0.00000000",
    }
