"""What trades have cost, by day and name: the list of results of a time (a live account's alone)."""

from __future__ import annotations

from typing import NamedTuple

from tests.doubles.kis.access import Keys
from tests.doubles.kis.account_calls import ACCOUNT, AT, NOTHING, PAGE, READ
from tests.doubles.kis.answers import Answer
from tests.doubles.kis.books import BUYING, Books, fee_of, tax_of
from tests.doubles.kis.paging import Pager, Row
from tests.doubles.kis.rest import Call, Fields
from tests.doubles.kis.settings import Settings


class _Cost(NamedTuple):
    """What the trades of a name on a day have moved and cost."""

    day: str
    code: str
    bought: int
    sold: int
    fee: int
    tax: int


class CostCalls:
    """The costs of an account."""

    def __init__(self, books: Books, pager: Pager, settings: Settings) -> None:
        self._books, self._pager, self._settings = books, pager, settings

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        fields = (*ACCOUNT, "SORT_DVSN", "INQR_STRT_DT", "INQR_END_DT", "CBLC_DVSN", "PDNO", *PAGE)
        path = AT + "inquire-period-trade-profit"
        return [Call("GET", path, ("TTTC8715R",), (), fields, self.profits, ("PDNO", *PAGE), ledger=True)]

    def profits(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return a row for each day and name of the time that is asked for."""
        costs = [
            one
            for one in self._costs(keys.account)
            if fields["INQR_STRT_DT"] <= one.day <= fields["INQR_END_DT"] and fields["PDNO"] in ("", one.code)
        ]
        page = self._pager.page(
            costs,
            self._settings.live_rows,
            fields,
            tr_cont,
            tr_id,
            name="inquire-period-trade-profit",
            key=lambda one: f"{one.day}{one.code}",
            row=_row,
        )
        parts = {
            "ctx_area_fk100": page.search,
            "ctx_area_nk100": page.next,
            "output1": page.rows,
            "output2": {
                "tot_fee": str(sum(one.fee for one in costs)),
                "tot_tltx": str(sum(one.tax for one in costs)),
            },
        }
        return Answer(parts, *(READ if page.rows else NOTHING), page.tr_cont)

    def _costs(self, account: str) -> list[_Cost]:
        found: dict[tuple[str, str], _Cost] = {}
        for fill in self._books.fills:
            order = fill.order
            if order.account != account:
                continue
            amount, side = fill.qty * fill.price, order.side
            bought, sold = (amount, 0) if side == BUYING else (0, amount)
            before = found.get((order.day, order.code), _Cost(order.day, order.code, 0, 0, 0, 0))
            found[order.day, order.code] = before._replace(
                bought=before.bought + bought,
                sold=before.sold + sold,
                fee=before.fee + fee_of(amount),
                tax=before.tax + tax_of(side, amount),
            )
        return [found[key] for key in sorted(found)]


def _row(cost: _Cost) -> Row:
    return {
        "trad_dt": cost.day,
        "pdno": cost.code,
        "buy_amt": str(cost.bought),
        "sll_amt": str(cost.sold),
        "fee": str(cost.fee),
        "tl_tax": str(cost.tax),
    }
