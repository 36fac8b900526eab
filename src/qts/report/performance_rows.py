"""The figures of performance as rows for people, in English and Korean: in the summary and in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from qts.notes import in_english, in_korean
from qts.performance import Amount, Drawdown, Figure, Performance, TripFigures
from qts.risk.contracts import Refusal
from qts.wording import counted

IDLE_SHARE: Final = 0.5
"""Average share of equity in positions below which idle cash decided the result more than the strategy."""


class Text(NamedTuple):
    """A text in both languages."""

    en: str
    ko: str


class FigureRow(NamedTuple):
    """A figure: its label, its value or why there is none, and the benchmark's, "" where that has none."""

    label: Text
    ours: Text
    benchmark: str = ""


def performance_rows(found: Performance, currency: str) -> list[FigureRow]:
    """Return the figures of ``found``, those of an account first, then those of its round trips.

    What has no answer in such a run is left out: without a round trip all of theirs but the number, and without a
    stop the result for the amount at stake.
    """
    other, trips = found.versus, found.trips
    rows = [
        _row("total return", "총수익률", found.total_return, _percent, other.total_return if other else None),
        _row("CAGR", "연평균 수익률(CAGR)", found.cagr, _percent, other.cagr if other else None),
        _row("volatility a year", "연 변동성", found.volatility, _percent, other.volatility if other else None),
        _row("Sharpe", "샤프 지수", found.sharpe, _two, other.sharpe if other else None),
        _row("Sortino", "소르티노 지수", found.sortino, _two, other.sortino if other else None),
        _row("Calmar", "칼마 지수", found.calmar, _two, other.calmar if other else None),
        FigureRow(
            Text("greatest drawdown", "최대 낙폭(종가 기준)"),
            _drawdown(found.drawdown),
            "" if other is None else "0.00%" if other.drawdown is None else f"-{other.drawdown.share:.2%}",
        ),
        _row("average exposure, of equity", "평균 익스포저(자산 대비)", found.exposure, _percent),
        _row("turnover a year", "연 회전율", found.turnover, _two),
        _row("costs of what was traded", "거래대금 대비 비용", found.costs.of_traded, _percent),
        FigureRow(
            Text("round trips", "완결 매매"), Text(f"{trips.count:,}, won {trips.won:,}, lost {trips.lost:,}",
            f"{trips.count:,}건(이익 {trips.won:,}, 손실 {trips.lost:,})"),
        ),
    ]  # fmt: skip
    if trips.count:
        rows += _rows_of_trips(trips, currency)
    if other is not None:
        rows += [
            _row("alpha a year", "연 알파", other.alpha, _percent),
            _row("beta", "베타", other.beta, _two),
            _row("information ratio", "정보 비율", other.information_ratio, _two),
        ]
    return rows


def _rows_of_trips(trips: TripFigures, currency: str) -> list[FigureRow]:
    r = trips.expectancy_r
    at_stake = [] if r.value is None else [_row("expectancy, R", "매매당 기대손익(R)", r, _two)]
    return [
        _row("win rate", "승률", trips.win_rate, _percent),
        _row("profit factor", "손익비(총이익÷총손실)", trips.profit_factor, _two),
        _money_row("expectancy", "매매당 기대손익", trips.expectancy, currency),
        _row("expectancy, share", "매매당 기대수익률", trips.expectancy_share, _percent),
        *at_stake,
        _money_row("average win", "평균 이익", trips.average_win, currency),
        _money_row("average loss", "평균 손실", trips.average_loss, currency),
        _row("MAE, average", "평균 최대 역행(MAE)", trips.adverse, _percent),
        _row("MFE, average", "평균 최대 순행(MFE)", trips.favourable, _percent),
    ]


def decided_by(
    found: Performance, refusals: Mapping[str, int], orders: int, *, has_failed: bool = False
) -> list[Text]:
    """Return what besides the strategy decided the result: idle cash, or rules that refused its intents.

    Where no order was sent, that is said, with the usual causes where no rule refused one and no
    strategy ``has_failed``, whose error is told elsewhere.
    """
    texts = []
    if not orders and (refusals or has_failed):
        texts.append(Text("No order was sent.", "주문이 한 건도 나가지 않았습니다."))
    elif not orders:
        texts.append(
            Text(
                "No order was sent, and no intent was refused. The usual causes: a yield is missing, the symbol is "
                "not in the data, a condition is never true, or a target is below one lot.",
                "주문이 한 건도 나가지 않았고 거부된 매매 의사도 없습니다. 흔한 원인: yield 누락, 데이터에 없는 "
                "종목, 한 번도 참이 되지 않는 조건, 최소 수량에 못 미치는 목표.",
            )
        )
    share = found.exposure.value
    if share is not None and share < IDLE_SHARE and orders:
        idle = f"{1 - share:.0%}"
        texts.append(
            Text(
                f"At the closes, on average {idle} of equity was idle in cash: the figures are those of the "
                "whole account.",
                f"종가 시점에 평균적으로 자산의 {idle}가 현금으로 남아 있었습니다. 지표는 계좌 전체 기준입니다.",
            )
        )
    refused = sum(refusals.values())
    if refused and refused * 10 >= orders:
        reason = max(refusals, key=lambda name: refusals[name])
        only_cash = refusals.keys() == {Refusal.INSUFFICIENT_CAPITAL.value}
        who = Text("Lack of cash", "현금 부족") if only_cash else Text("Rules", "규칙")
        texts.append(
            Text(
                f"{who.en} decided too: {refused:,} intents were refused beside {orders:,} orders, "
                f"most often {reason}.",
                f"{who.ko}도 결과에 영향을 주었습니다. 주문 {orders:,}건 외에 매매 의사 {refused:,}건이 "
                f"거부되었습니다(가장 많은 사유: {reason}).",
            )
        )
    return texts


def _row(
    en: str, ko: str, ours: Figure, write: Callable[[float], str], benchmark: Figure | None = None
) -> FigureRow:
    other = "" if benchmark is None or benchmark.value is None else write(benchmark.value)
    return FigureRow(Text(en, ko), _shown(ours, write), other)


def _money_row(en: str, ko: str, ours: Amount, currency: str) -> FigureRow:
    if ours.value is None:
        return FigureRow(Text(en, ko), _why(ours))
    text = f"{_amount(ours.value)} {currency}"
    return FigureRow(Text(en, ko), Text(text, text))


def _shown(figure: Figure, write: Callable[[float], str]) -> Text:
    if figure.value is None:
        return _why(figure)
    text = write(figure.value)
    return Text(text, text)


def _why(unknown: Figure | Amount) -> Text:
    assert unknown.why is not None  # a figure without a value has a reason
    return Text(in_english(unknown.why), in_korean(unknown.why))


def _drawdown(found: Drawdown | None) -> Text:
    if found is None:
        return Text("none", "없음")
    share = f"-{found.share:.2%}"
    return Text(f"{share}, {counted(found.days, 'day')}", f"{share}, {found.days:,}일")


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _amount(value: Decimal) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}"
