"""Calls that change orders: cash orders, revises and cancels."""

from __future__ import annotations

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer, business
from tests.doubles.kis.books import BUYING, SELLING, Books, Order
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.market import KRX, Market
from tests.doubles.kis.rest import Call, Fields

BRANCH = "91252"
SELL_TRS = {"TTTC0011U", "VTTC0011U", "TTTC0801U", "VTTC0801U"}


class Trading:
    """Orders of customers, against the market."""

    def __init__(self, books: Books, market: Market, clock: DoubleClock) -> None:
        self._books, self._market, self._clock = books, market, clock

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        return [
            Call(
                "POST",
                "/uapi/domestic-stock/v1/trading/order-cash",
                ("TTTC0012U", "TTTC0011U", "TTTC0802U", "TTTC0801U"),
                ("VTTC0012U", "VTTC0011U", "VTTC0802U", "VTTC0801U"),
                ("CANO", "ACNT_PRDT_CD", "PDNO", "ORD_DVSN", "ORD_QTY", "ORD_UNPR", "EXCG_ID_DVSN_CD"),
                self.order_cash,
                ledger=True,
            ),
        ]

    def order_cash(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Take an order."""
        if fields["PDNO"] not in self._market.listings:
            raise business("APBK0656", "해당종목정보가 없습니다.")
        order = Order(
            self._books.next_number(),
            BRANCH,
            self._clock.day,
            self._clock.hms,
            self._clock.time_ns(),
            keys.account,
            SELLING if tr_id in SELL_TRS else BUYING,
            fields["PDNO"],
            fields["ORD_DVSN"],
            fields["EXCG_ID_DVSN_CD"],
            KRX,
            int(fields["ORD_QTY"]),
            int(fields["ORD_UNPR"]),
        )
        self._books.add(order)
        self._books.tell("accepted", order)
        parts = {"KRX_FWDG_ORD_ORGNO": order.branch, "ODNO": order.number, "ORD_TMD": order.time}
        return Answer({"output": parts}, "APBK0013", "주문 전송 완료 되었습니다.")
