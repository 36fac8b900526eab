"""Protective exits may be approved on any thread: an answer depends on request and snapshot alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from decimal import Context, setcontext

import pytest

from qts.ids import CounterIds
from qts.market.krx import krx_instrument
from qts.risk.contracts import AccountView, Approved, OrderRequest, Refusal, Refused, Verdict
from qts.risk.gate import RiskGate
from qts.safety.contracts import SafetyState
from tests.risk.requests import D, gate, holding, leave

THREADS, EACH = 4, 50
QUESTIONS: list[tuple[OrderRequest, AccountView, Refusal | None]] = [
    # while the account may not trade, on an old price, beyond the rate of orders, beside another exit
    (
        leave(forced=True),
        holding(safety=SafetyState.LOCKDOWN, price_ts_ns=0, orders_last_second=1_000, reject_wait="rejected"),
        None,
    ),
    (leave(forced=True, qty=D(40)), holding(holding_working_sells=D(60), working_same_side=True), None),
    (leave(forced=True, qty=D(41)), holding(holding_working_sells=D(60)), Refusal.NOTHING_TO_SELL),
    (leave(forced=True), holding(price=None), Refusal.PRICE_UNUSABLE),
    (leave(forced=True), holding(unknown_order=True), Refusal.UNRESOLVED_ORDER),
    (leave(forced=True), holding(instrument=krx_instrument("005930"), holding=D(100)), None),
]


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    """Let threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def answers_of(gates: RiskGate, number: int, verdicts: list[Verdict], start: threading.Barrier) -> None:
    setcontext(Context(prec=3))  # whatever a library has done to the arithmetic of this thread
    ids = CounterIds(f"thread{number}")
    start.wait()
    for _ in range(EACH):
        verdicts.extend(gates.evaluate(request, view, ids=ids) for request, view, _ in QUESTIONS)


def test_forced_exits_get_the_same_answers_on_every_thread_and_approvals_of_their_own() -> None:
    """given a gate that the session uses too, when four threads ask it, then each gets what it alone would get"""
    shared = gate()
    verdicts: list[list[Verdict]] = [[] for _ in range(THREADS)]
    start = threading.Barrier(THREADS + 1)
    threads = [
        threading.Thread(target=answers_of, args=(shared, number, verdicts[number], start), daemon=True)
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    own = [shared.evaluate(request, view) for _ in range(EACH) for request, view, _ in QUESTIONS]
    for thread in threads:
        thread.join(60)

    for told in (*verdicts, own):
        assert len(told) == EACH * len(QUESTIONS)
        for verdict, (request, _, reason) in zip(told, QUESTIONS * EACH, strict=True):
            assert verdict.request is request
            assert (verdict.reason if isinstance(verdict, Refused) else None) is reason
    ids = [one.approval_id for told in (*verdicts, own) for one in told if isinstance(one, Approved)]
    assert len(ids) == len(set(ids)) == (THREADS + 1) * EACH * 3
    approved_own = [one.approval_id for one in own if isinstance(one, Approved)]
    assert approved_own == [f"ok-{number}" for number in range(1, EACH * 3 + 1)]  # no number is lost to a thread
