"""Data that the report shows, computed from the facts before anything is drawn: curves, spans, sums.

Nothing here knows HTML or matplotlib. Amounts stay Decimal; only what is handed to a drawing becomes a float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final

import msgspec

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, from_ns, to_ns, zone_of
from qts.db.contracts import EquityRow
from qts.ledger.bookings import FROM_OUTSIDE, value_of
from qts.ledger.contracts import ActionKind, ActionRow, BookingRow, LedgerRow
from qts.money import ZERO
from qts.report.meanings import Bilingual
from qts.runtime.session.result import SessionFacts
from qts.runtime.session.session_plan import Profile
from qts.strategy.contracts import Side

DAY_NS: Final = 86_400 * NS_PER_S
INTRADAY_SAMPLES: Final = 6
"""Samples of one local day from which on it counts as traded within the day (hourly samples of a session)."""
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
FLAT: Final = "flat"
"""What a sum of positions says when nothing is held."""
LONGEST_ZOOM_SHARE: Final = 0.5
"""A window longer than this share of the session is no zoom."""


class Status(Enum):
    """The outcome of a check. NOT_CHECKED is one of its own and never shown as a good one."""

    HELD = "held"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


class Check(msgspec.Struct, frozen=True):
    """One sum the report made for itself, against the number the session reported."""

    name: str
    name_ko: str
    status: Status
    reported: str
    recomputed: str


class Invariant(msgspec.Struct, frozen=True):
    """One invariant as the session saw it; ``last`` is an ISO time or None."""

    number: int
    status: Status
    checks: int
    last: str | None
    detail: str


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of equity from its running peak: ``share`` is a fraction of the peak, ``amount`` money."""

    share: Decimal
    amount: Decimal
    peak_ns: int
    trough_ns: int


class Span(msgspec.Struct, frozen=True):
    """A run of samples in one state, until the next run begins."""

    name: str
    first_ns: int
    last_ns: int


class Window(msgspec.Struct, frozen=True):
    """A stretch of time worth a closer look; both ends are part of it."""

    first_ns: int
    last_ns: int


class ReportData:
    """The facts, and what follows from them."""

    def __init__(self, facts: SessionFacts) -> None:
        self.facts = facts
        self.values = facts.result
        self.is_plain = facts.result.profile == Profile.PLAIN.value
        self.zone = zone_of(str(self.values.time_zone))
        self._offset_ns = round(self.zone.utcoffset(None).total_seconds()) * NS_PER_S
        self.zone_name = str(self.zone.tzname(None))
        self.currency = str(self.values.currency)
        self.start = Decimal(self.values.equity_start)
        self.end = Decimal(self.values.equity_end)
        self.paid_in = paid_in(self.start, self.values.bookings)
        """Opening, deposits and shares taken over, less withdrawals."""
        self.drawdowns = running_drawdowns(facts.equity, self.start, moves_of(facts.bookings))
        self.deepest = drawdown_seen(self.values.extremes) or deepest_drawdown(facts.equity, self.start)
        self.states = spans([(row.state, row.ts_ns) for row in facts.equity])
        self.safety = spans([(row.safety, row.ts_ns) for row in facts.equity])
        self.forced_orders = frozenset(order.client_order_id for order in facts.orders if order.forced)
        self.order_reasons = {order.client_order_id: order.reason for order in facts.orders}
        self.symbol = most_traded(facts.ledger)
        self.invariants = invariants_of(self.values.invariants)
        self.checks = own_checks(facts)

    @cached_property
    def zoom(self) -> Window | None:
        """Return the days that deserve a closer look; None without such."""
        return zoom_window(self.facts.equity, self.local)

    def local(self, ts_ns: int) -> datetime:
        """Return ``ts_ns`` (ns since 1970 UTC) in the market's time zone."""
        return from_ns(ts_ns).astimezone(self.zone)

    def local_day(self, ts_ns: int) -> date:
        """Return the date of ``ts_ns`` (ns since 1970 UTC) in the market's time zone; cheaper than the time."""
        return date.fromordinal(_FIRST_DAY + (ts_ns + self._offset_ns) // DAY_NS)

    def is_forced(self, row: LedgerRow) -> bool:
        """Return whether a rule, not a strategy, ordered this fill."""
        return row.order_id in self.forced_orders

    def fills_of(self, symbol: str, window: Window | None = None) -> list[LedgerRow]:
        """Return the fills of ``symbol`` in time order, inside ``window`` when there is one."""
        rows = [row for row in self.facts.ledger if row.symbol == symbol and _inside(row.ts_ns, window)]
        return sorted(rows, key=lambda row: row.ts_ns)

    def equity_in(self, window: Window | None) -> list[int]:
        """Return the positions of the samples inside ``window``."""
        return [i for i, row in enumerate(self.facts.equity) if _inside(row.ts_ns, window)]

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """Return the first and the last moment in the market's time zone; None when nothing was sampled."""
        if not self.facts.equity:
            return None
        return self.local(self.facts.equity[0].ts_ns), self.local(self.facts.equity[-1].ts_ns)

    def time_text(self, ts_ns: int) -> str:
        """Return ``ts_ns`` as tables write it: to the second in a session shorter than a day, else the minute."""
        whole = self.facts.equity[-1].ts_ns - self.facts.equity[0].ts_ns if self.facts.equity else 0
        return f"{self.local(ts_ns):{'%Y-%m-%d %H:%M:%S' if whole < DAY_NS else '%Y-%m-%d %H:%M'}}"

    def name_of(self, symbol: str) -> Bilingual:
        """Return what people call ``symbol``, with the symbol itself: "Samsung Electronics (005930)"."""
        names = self.values.symbol_names.get(symbol)
        return (symbol, symbol) if names is None else (f"{names['en']} ({symbol})", f"{names['ko']}({symbol})")

    def machine_time(self, text: str) -> str:
        """Return an ISO time of the machine in the market's zone; ``text`` itself when it is no time."""
        try:
            return f"{datetime.fromisoformat(text).astimezone(self.zone):%Y-%m-%d %H:%M:%S} {self.zone_name}"
        except ValueError:
            return text

    @property
    def symbols(self) -> int:
        """Return how many symbols were traded."""
        return len({row.symbol for row in self.facts.ledger})

    @property
    def gain(self) -> Decimal:
        return self.end - self.paid_in

    @property
    def gain_share(self) -> Decimal | None:
        return None if self.paid_in == 0 else self.gain / self.paid_in

    def shares_of_time(self) -> dict[str, float]:
        """Return the share of the sampled time in each operating state."""
        seconds: Counter[str] = Counter()
        for span in self.states:
            seconds[span.name] += span.last_ns - span.first_ns
        whole = sum(seconds.values())
        return {name: spent / whole for name, spent in seconds.items()} if whole else {}


def paid_in(start: Decimal, booked: Mapping[str, Any] | None) -> Decimal:
    """Return ``start`` with what ``booked``, the bookings of a result, brought in and took out."""
    deposits, contributions, withdrawals = (
        Decimal((booked or {}).get(name, 0)) for name in ("deposits", "contributions", "withdrawals")
    )
    return start + deposits + contributions - withdrawals


def moves_of(bookings: Iterable[BookingRow]) -> list[tuple[int, Decimal]]:
    """Return when (ns) capital came into the pools, or left them (below 0), by its worth then."""
    return sorted(
        (row.ts_ns, value_of(row)) for row in bookings if row.pool is not None and row.kind in FROM_OUTSIDE
    )


def running_drawdowns(
    rows: Sequence[EquityRow], start: Decimal, moves: Sequence[tuple[int, Decimal]] = ()
) -> list[Decimal]:
    """Return how far each sample lies under the highest equity so far, as a fraction of it (≥ 0).

    Capital that came or went (``moves``) makes no drawdown: the highest equity changes in the proportion of equity.
    """
    peak, found, equity, waiting = start, [], start, list(moves)[::-1]
    for row in rows:
        while waiting and waiting[-1][0] <= row.ts_ns:
            amount = waiting.pop()[1]
            peak = peak * (equity + amount) / equity if equity > 0 else peak + amount
            equity += amount
        equity = row.equity
        peak = max(peak, row.equity)
        found.append(1 - row.equity / peak if peak > 0 else ZERO)
    return found


def drawdown_seen(extremes: Mapping[str, Any] | None) -> Drawdown | None:
    """Return the deepest drawdown that the session saw; None for a result of a version that did not store it."""
    if extremes is None:
        return None
    deepest = extremes["deepest_drawdown"]
    moments = (to_ns(datetime.fromisoformat(deepest[key])) for key in ("from", "to"))
    return Drawdown(Decimal(deepest["share"]), Decimal(deepest["amount"]), *moments)


def deepest_drawdown(rows: Sequence[EquityRow], start: Decimal) -> Drawdown | None:
    """Return the largest of :func:`running_drawdowns` with its two moments; None without samples."""
    if not rows:
        return None
    peak, peak_ns = start, rows[0].ts_ns
    worst = Drawdown(ZERO, ZERO, peak_ns, peak_ns)
    for row in rows:
        if row.equity > peak:
            peak, peak_ns = row.equity, row.ts_ns
        share = 1 - row.equity / peak if peak > 0 else ZERO
        if share > worst.share:
            worst = Drawdown(share, peak - row.equity, peak_ns, row.ts_ns)
    return worst


def spans(samples: Sequence[tuple[str, int]]) -> list[Span]:
    """Return the runs of one name; a run lasts until the next one begins, the last until the last sample."""
    found: list[Span] = []
    for name, ts_ns in samples:
        if found and found[-1].name == name:
            found[-1] = Span(name, found[-1].first_ns, ts_ns)
            continue
        if found:
            found[-1] = Span(found[-1].name, found[-1].first_ns, ts_ns)
        found.append(Span(name, ts_ns, ts_ns))
    return found


def most_traded(ledger: Sequence[LedgerRow]) -> str | None:
    """Return the symbol with the most fills (the first by name among equals); None without fills."""
    counts = Counter(row.symbol for row in ledger)
    return min(counts, key=lambda symbol: (-counts[symbol], symbol)) if counts else None


def zoom_window(rows: Sequence[EquityRow], local: Any) -> Window | None:
    """Return the days that were traded within the day; None where they are no small part of the session."""
    if not rows:
        return None
    per_day: Counter[date] = Counter(local(row.ts_ns).date() for row in rows)
    busy = {day for day, count in per_day.items() if count >= INTRADAY_SAMPLES}
    inside = [row.ts_ns for row in rows if local(row.ts_ns).date() in busy]
    if len(busy) < 1 or len(per_day) < 3:
        return None
    window = Window(inside[0], inside[-1])
    whole = rows[-1].ts_ns - rows[0].ts_ns
    return window if window.last_ns - window.first_ns <= whole * LONGEST_ZOOM_SHARE else None


def invariants_of(rows: Mapping[str, Mapping[str, Any]]) -> list[Invariant]:
    """Return the invariants in order; one that is not clearly true with at least one check was not checked."""
    return [
        Invariant(
            number=int(name.removeprefix("inv")),
            status=_status(row["ok"], row["checks"]),
            checks=row["checks"],
            last=row["last"],
            detail=str(row.get("detail", "")),
        )
        for name, row in sorted(rows.items())
    ]


def own_checks(facts: SessionFacts) -> list[Check]:
    """Add up again what the stored rows hold, and compare it with what the session reported."""
    return list(_own_checks(facts))


def _own_checks(facts: SessionFacts) -> Iterator[Check]:
    values, ledger, actions = facts.result, facts.ledger, facts.actions
    bookings = [row for row in facts.bookings if row.pool is not None]
    charged: list[LedgerRow | BookingRow] = [*ledger, *bookings]
    yield _compared(
        "Fills reported = rows of the ledger", "보고된 체결 수 = 원장 행 수", values.fills, len(ledger), ledger
    )
    fees, taxes = sum((row.fee for row in charged), ZERO), sum((row.tax for row in charged), ZERO)
    yield _compared("Fees = sum of the fills' fees", "수수료 = 체결 수수료 합계", values.fees, fees, charged)
    yield _compared("Taxes = sum of the fills' taxes", "세금 = 체결 세금 합계", values.taxes, taxes, charged)
    yield _whole(facts)
    booked: list[LedgerRow | ActionRow | BookingRow] = [*charged, *actions]
    if values.profile == Profile.PLAIN.value:
        reported = sum((Decimal(row["realized_pnl"]) for row in values.pools.values()), ZERO)
        realised = sum((row.realized_pnl for row in booked), ZERO)
        name, name_ko = "Realised = sum of the fills' results", "실현손익 = 체결 손익 합계"
        yield _compared(name, name_ko, reported, realised, ledger)
    else:
        yield from _pools(values.pools, booked)
    if reported_actions := values.corporate_actions:
        received = sum((row.amount for row in actions if row.kind is ActionKind.DIVIDEND), ZERO)
        name, name_ko = "Dividends = sum of their rows", "배당금 = 배당 내역 합계"
        yield _compared(name, name_ko, reported_actions["dividends"], received, actions)
    yield _positions(values.positions, charged, actions)
    p0 = values.queues["P0"]
    yield _compared(
        "P0 events accepted = handled", "P0 이벤트 수신 = 처리", p0["accepted"], p0["handled"], p0["accepted"]
    )


def _whole(facts: SessionFacts) -> Check:
    """Compare equity with the sum of the pools, which in the plain profile is cash and what is held."""
    values = facts.result
    if values.profile == Profile.PLAIN.value and values.cash is not None:
        held = [Decimal(row["value"]) for row in values.holdings if row["value"] is not None]
        name, name_ko = "Equity at the end = cash + holdings", "최종 총자산 = 예수금 + 보유 평가금액"
        return _compared(name, name_ko, values.equity_end, sum(held, Decimal(values.cash)), values.cash)
    whole = sum((Decimal(row["total"]) for row in values.pools.values()), ZERO)
    name, name_ko = "Equity at the end = sum of the pools", "최종 총자산 = 자금 풀 합계"
    return _compared(name, name_ko, values.equity_end, whole, values.pools)


def _pools(
    pools: Mapping[str, Mapping[str, str]], booked: Sequence[LedgerRow | ActionRow | BookingRow]
) -> Iterator[Check]:
    for pool in Pool:
        rows = [row for row in booked if row.pool is pool]
        yield _compared(
            f"Realised {pool.value} = sum of its fills' results",
            f"{pool.value} 실현손익 = 체결 손익 합계",
            pools.get(pool.value, {}).get("realized_pnl", "0"),
            sum((row.realized_pnl for row in rows), ZERO),
            rows,
        )


def _positions(
    reported: Mapping[str, str], booked: Sequence[LedgerRow | BookingRow], actions: Sequence[ActionRow]
) -> Check:
    sums: dict[str, Decimal] = {}
    for row in booked:
        change = -row.qty if isinstance(row, LedgerRow) and row.side is Side.SELL else row.qty
        sums[row.symbol] = sums.get(row.symbol, ZERO) + change
    for action in actions:
        sums[action.symbol] = sums.get(action.symbol, ZERO) + action.change
    held = {symbol: qty for symbol, qty in sorted(sums.items()) if qty}
    said = {symbol: Decimal(qty) for symbol, qty in sorted(reported.items()) if Decimal(qty)}
    status = Status.HELD if held == said else Status.BROKEN
    return Check(
        name="Positions = sum of their fills",
        name_ko="보유 수량 = 체결 수량 합계",
        status=status if booked or said else Status.NOT_CHECKED,
        reported=_listed(said),
        recomputed=_listed(held),
    )


def _compared(name: str, name_ko: str, reported: object, recomputed: object, evidence: object) -> Check:
    """Compare two numbers. ``evidence`` empty or 0: there was nothing to add up, so agreement proves nothing."""
    agree = Decimal(str(reported)) == Decimal(str(recomputed))
    status = Status.HELD if agree else Status.BROKEN
    if agree and not evidence:
        status = Status.NOT_CHECKED
    return Check(name, name_ko, status, number(reported), number(recomputed))


def number(amount: object) -> str:
    """Return exactly the number, with thousands separated and no zeros behind the last digit."""
    plain = f"{Decimal(str(amount)):,f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def rounded(amount: Decimal) -> str:
    """Return the amount as a headline shows it: whole, or to two digits behind the point."""
    return f"{amount:,.0f}" if amount == amount.to_integral_value() else f"{amount:,.2f}"


def price_text(price: Decimal) -> str:
    """Return a price or an average of prices: up to two digits behind the point, up to eight below ten."""
    plain = f"{price:,.{8 if abs(price) < 10 else 2}f}"
    return plain.rstrip("0").rstrip(".")


def _listed(quantities: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {number(qty)}" for symbol, qty in quantities.items()) or FLAT


def _status(ok: bool | None, checks: int) -> Status:
    if ok is False:
        return Status.BROKEN
    return Status.HELD if ok is True and checks > 0 else Status.NOT_CHECKED


def _inside(ts_ns: int, window: Window | None) -> bool:
    return window is None or window.first_ns <= ts_ns <= window.last_ns
