"""Calls that change orders: cash orders, revises and cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer
from tests.doubles.kis.books import BUYING, CANCEL, NEW, REVISE, SELLING, Account, Books, Order
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.market import KRX
from tests.doubles.kis.matching import Matching
from tests.doubles.kis.rest import Call, Fields
from tests.doubles.kis.rules import UNPRICED, Rules, Wanted
from tests.doubles.kis.settings import Settings

BRANCH = "91252"
AT = "/uapi/domestic-stock/v1/trading/"
BUY_TRS = ("TTTC0012U", "TTTC0802U")
SELL_TRS = ("TTTC0011U", "TTTC0801U")
CHANGE_TRS = ("TTTC0013U", "TTTC0803U")
SENT = ("APBK0013", "주문 전송 완료 되었습니다.")
PAPER_SENT = {
    BUYING: ("40600000", "모의투자 매수주문이 완료 되었습니다."),
    SELLING: ("40610000", "모의투자 매도주문이 완료 되었습니다."),
    REVISE: ("40620000", "모의투자 정정주문이 완료 되었습니다."),
    CANCEL: ("40630000", "모의투자 취소주문이 완료 되었습니다."),
}
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def paper(tr_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the TR ids of the paper host."""
    return tuple("V" + tr_id[1:] for tr_id in tr_ids)


class Trading:
    """Orders of customers. ``spawn`` runs what happens later."""

    def __init__(
        self,
        books: Books,
        rules: Rules,
        matching: Matching,
        clock: DoubleClock,
        settings: Settings,
        *,
        is_paper: bool,
        spawn: Spawn,
    ) -> None:
        self._books, self._rules, self._matching, self._clock = books, rules, matching, clock
        self._settings, self._is_paper, self._spawn = settings, is_paper, spawn

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        new = ("CANO", "ACNT_PRDT_CD", "PDNO", "ORD_DVSN", "ORD_QTY", "ORD_UNPR", "EXCG_ID_DVSN_CD")
        change = (
            "CANO", "ACNT_PRDT_CD", "KRX_FWDG_ORD_ORGNO", "ORGN_ODNO", "ORD_DVSN", "RVSE_CNCL_DVSN_CD", "ORD_QTY",
            "ORD_UNPR", "QTY_ALL_ORD_YN", "EXCG_ID_DVSN_CD",
        )  # fmt: skip
        both = BUY_TRS + SELL_TRS
        return [
            Call("POST", f"{AT}order-cash", both, paper(both), new, self.order_cash, ledger=True),
            Call("POST", f"{AT}order-rvsecncl", CHANGE_TRS, paper(CHANGE_TRS), change, self.change, ledger=True),
        ]

    # -- the calls ---------------------------------------------------------------------------------------------

    def order_cash(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Take an order."""
        side = SELLING if tr_id[1:] in {one[1:] for one in SELL_TRS} else BUYING
        wanted = self._rules.read(side, fields)
        return self._answer(self.place(self._books.accounts[keys.account], wanted), side)

    def change(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Revise or cancel an order."""
        account = self._books.accounts[keys.account]
        is_cancel = fields["RVSE_CNCL_DVSN_CD"] == "02"
        if not is_cancel and fields["RVSE_CNCL_DVSN_CD"] != "01":
            raise self._rules.refusal("kind")
        order = self._rules.original(account, fields, "취소" if is_cancel else "정정")
        qty = self._rules.part(order, fields)
        self._rules.check_open(order.routed)
        if is_cancel:
            return self._answer(self.cancel(order, qty), CANCEL)
        wanted = self._rules.read(order.side, {**fields, "PDNO": order.code, "EXCG_ID_DVSN_CD": order.venue})
        wanted.qty = qty
        return self._answer(self.revise(account, order, wanted), REVISE)

    def _answer(self, order: Order, what: str) -> Answer:
        parts = {"KRX_FWDG_ORD_ORGNO": order.branch, "ODNO": order.number, "ORD_TMD": order.time}
        if self._settings.lower_case_answers and what in (REVISE, CANCEL):
            parts = {name.lower(): value for name, value in parts.items()}
        return Answer({"output": parts}, *(PAPER_SENT[what] if self._is_paper else SENT))

    # -- what they do, also for orders from elsewhere ----------------------------------------------------------

    def place(self, account: Account, wanted: Wanted) -> Order:
        """Check, number and match a new order. Raises Refused."""
        self._rules.check(account, wanted)
        order = self._books.add(self._numbered(account, wanted, NEW))
        self._books.tell("accepted", order)
        self._matching.arrive(order)
        return order

    def revise(self, account: Account, order: Order, wanted: Wanted) -> Order:
        """Put a revise in the place of an open order, or of a part of it. Raises Refused."""
        self._rules.check(account, wanted, instead_of=order)
        wanted.routed = order.routed
        order.moved += wanted.qty
        revised = self._books.add(self._numbered(account, wanted, REVISE, order))
        self._books.tell("accepted", revised)
        self._books.tell("revised", revised)
        self._matching.arrive(revised)
        return revised

    def cancel(self, order: Order, qty: int) -> Order:
        """Cancel ``qty`` of an open order, now or after the time that the settings say."""
        wanted = Wanted(order.side, order.code, order.kind, order.venue, qty, order.price, routed=order.routed)
        account = self._books.accounts[order.account]
        cancel = self._books.add(self._numbered(account, wanted, CANCEL, order))
        if self._settings.cancel_notices == "both":
            self._books.tell("accepted", cancel)
        if self._settings.cancel_confirm_s:
            self._spawn(self._confirm_later(order, cancel, qty))
        else:
            self._confirm(order, cancel, qty)
        return cancel

    async def _confirm_later(self, order: Order, cancel: Order, qty: int) -> None:
        await self._clock.sleep(self._settings.cancel_confirm_s)
        self._confirm(order, cancel, qty)

    def _confirm(self, order: Order, cancel: Order, qty: int) -> None:
        done = min(qty, order.rest)
        if not done:  # fills were faster
            cancel.rejected = cancel.qty
            self._books.tell("rejected", cancel)
            return
        order.cancelled += done
        cancel.cancelled = done
        self._books.tell("cancelled", cancel)

    def reject(self, order: Order) -> None:
        """Let the exchange refuse what is left of an order that KIS had accepted."""
        order.rejected += order.rest
        self._books.tell("rejected", order)

    def _numbered(self, account: Account, wanted: Wanted, action: str, original: Order | None = None) -> Order:
        if wanted.kind in UNPRICED and action != CANCEL:
            wanted.price = 0
        return Order(
            number=self._books.next_number(),
            branch=BRANCH,
            day=self._clock.day,
            time=self._clock.hms,
            ns=self._clock.time_ns(),
            account=account.number,
            side=wanted.side,
            code=wanted.code,
            kind=wanted.kind,
            venue=wanted.venue or KRX,
            routed=wanted.routed,
            qty=wanted.qty,
            price=wanted.price,
            action=action,
            original=original.number if original else "",
            trigger=wanted.trigger,
        )
