"""The table of what is held at the end, with the cash beside it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qts.capital.contracts import Pool
from qts.report.markup import Html, el, en_ko, join, table
from qts.report.report_data import ReportData, number, price_text, rounded
from qts.report.tables import pool_chip, signed, symbol_named


def holdings(data: ReportData) -> Html:
    """Return what each strategy still holds at the end, as on a broker's screen of holdings, and the cash."""
    headers = [
        en_ko("Symbol", "종목"),
        *_of_pool(data, en_ko("Pool", "자금 풀")),
        en_ko("Quantity", "보유수량"),
        en_ko("Average cost", "매입단가"),
        en_ko("Last price", "현재가"),
        en_ko("Value", "평가금액"),
        en_ko("Unrealised", "평가손익"),
        en_ko("Return", "수익률"),
    ]
    nothing = en_ko("Flat: nothing is held.", "보유 종목이 없습니다.")
    body = [_holding(data, row) for row in data.values.holdings]
    if not body:  # a result of a version that stored quantities alone
        held = data.values.positions.items()
        body = [
            (symbol_named(data, symbol), *_of_pool(data, ""), number(qty), *["–"] * 5)
            for symbol, qty in held
            if Decimal(qty)
        ]
    cash = data.values.cash
    if body and cash is not None:
        dashes = ["–"] * 3
        amount = rounded(Decimal(cash))
        body.append((en_ko("Cash", "예수금"), *_of_pool(data, ""), *dashes, amount, "–", "–"))
    return table(headers, body, numeric=range(len(headers) - 6, len(headers)), empty=nothing)


def _of_pool(data: ReportData, cell: object) -> list[Any]:
    """Return the cell of the pool; nothing in the plain profile, where all cash is in one."""
    return [] if data.is_plain else [cell]


def _holding(data: ReportData, row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of one holding; "–" where no price was ever seen."""
    cost, price, value, result = (
        None if row[key] is None else Decimal(row[key])
        for key in ("average_cost", "price", "value", "unrealized_pnl")
    )
    paid = None if value is None or result is None else value - result
    return (
        join((symbol_named(data, row["symbol"]), el("div", row["strategy"], cls="muted"))),
        *_of_pool(data, pool_chip(Pool(row["pool"]))),
        number(row["qty"]),
        "–" if cost is None else price_text(cost),
        "–" if price is None else price_text(price),
        "–" if value is None else rounded(value),
        "–" if result is None else signed(result, rounded),
        "–" if result is None or not paid else signed(result / paid, lambda share: f"{share:.2%}"),
    )
