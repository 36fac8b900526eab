"""Compares our clock with the broker's: days, sessions and the lives of approvals hang on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from qts.broker.broker_clock import BrokerClock
from qts.broker.gateway.config import GatewayConfig
from qts.clock import NS_PER_MS
from qts.runtime.steps.contracts import CLOCK, NOT_RECORDED, Steps
from qts.safety.contracts import SafetyState

_CODES = {SafetyState.WARNING: "AN040", SafetyState.FAIL: "FS060"}


class ClockView(msgspec.Struct, frozen=True):
    """By how many ms our clock differs from the broker's at least; None: not measured, its answers tell no time."""

    apart_ms: float | None


class ClockCheck(NamedTuple):
    """The result of a comparison: ``state`` that it leads to, None for not measured; ``text`` in words."""

    state: SafetyState | None
    apart_ms: float | None
    text: str


def check_clock(clock: BrokerClock | None, config: GatewayConfig) -> ClockCheck:
    """Judge what the broker's answers prove of our clock; ``clock`` None: its adapter does not read the time."""
    offset = None if clock is None else clock.offset()
    if offset is None:
        return ClockCheck(None, None, "not measured: the broker has told no time")
    apart_ms = offset.apart_ns / NS_PER_MS
    side = "ahead of" if offset.low_ns > 0 else "behind"
    if apart_ms > config.clock_fail_ms:
        state, limit = SafetyState.FAIL, config.clock_fail_ms
    elif apart_ms > config.clock_warning_ms:
        state, limit = SafetyState.WARNING, config.clock_warning_ms
    else:
        return ClockCheck(SafetyState.NORMAL, apart_ms, f"at least {apart_ms:,.0f} ms from the broker's")
    text = f"our clock is at least {apart_ms:,.0f} ms {side} the broker's, allowed are {limit:,} ms: set it"
    return ClockCheck(state, apart_ms, text)


class ClockWatch:
    """Reports a clock that differs from the broker's to safety, once a minute while it does."""

    def __init__(
        self,
        clock: BrokerClock | None,
        config: Callable[[], GatewayConfig],
        on_code: Callable[[str, str], None],
        steps: Steps = NOT_RECORDED,
    ) -> None:
        self._steps = steps
        self._clock = clock
        self._config = config
        self._on_code = on_code

    def check(self) -> None:
        """Compare the clocks now."""
        found = check_clock(self._clock, self._config())
        told = (_CODES[found.state], found.text) if found.state in _CODES else ()
        told = self._steps.take(CLOCK, "", told)
        if told:
            self._on_code(*told)

    def view(self) -> ClockView:
        """Return what a session shows of it."""
        return ClockView(check_clock(self._clock, self._config()).apart_ms)
