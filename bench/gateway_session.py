"""What a session does while its broker takes ten seconds, beside one whose broker answers at once.

One round of each by turns: an order is given away, and an operator wants a release, for which the broker's books
are asked for. While both answers are missing prices are taken in, fills of an earlier order are booked as P0, and
other commands of the operator are answered.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import live
from tests.runtime.rig import ScriptedStrategy, command, kst
from tests.runtime.test_slow_broker import OTHER, TwoSymbols, quote

from bench.figures import median_ratio, micros
from qts.runtime.control.command_handler import CommandHandler
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side

WHAT = ("prices", "P0", "operators")
MOST_RATIO = 1.1
SETTINGS = {"event.retry_backoff_ms": "1", "broker.gateway.answer_ms": "60000"}
Round = dict[str, float]


def measure_slow(*, quick: bool) -> dict[str, Any]:
    """Return the ratios of the times of both, medians over the pairs of rounds."""
    pairs = 3 if quick else 15
    count = 50 if quick else 90  # shares of one symbol, below what the share of the account allows
    slow, prompt = [], []
    for _ in range(pairs):
        prompt.append(_round(answers=True, count=count))
        slow.append(_round(answers=False, count=count))
    figures: dict[str, Any] = {"pairs": pairs, "targets": []}
    for what in WHAT:
        ratio = median_ratio([one[what] for one in slow], [one[what] for one in prompt])
        figures[what] = statistics.median(one[what] for one in slow)
        figures["targets"].append(
            {
                "what": f"{what} while the broker is silent, times as long",
                "value": ratio,
                "bar": MOST_RATIO,
                "at_least": False,
                "met": ratio <= MOST_RATIO,
            }
        )
    return figures


def _round(*, answers: bool, count: int) -> Round:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_times(Path(directory), answers=answers, count=count))


async def _times(directory: Path, *, answers: bool, count: int) -> Round:
    """Return medians in ns: of taking a price in, booking a fill, and answering a command."""
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    took: dict[str, list[int]] = {what: [] for what in WHAT}
    async with live(directory, strategies=[strategy], settings=SETTINGS, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=count)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        await rig.drain()
        key = broker.placed[0].request.client_order_id
        handler, release = CommandHandler(rig.kernel), command("release")
        broker.holds_answers = broker.holds_queries = not answers
        while await handler.step(release) is None and not broker.asked:
            await asyncio.sleep(0)
        strategy.intents.append(Intent(OTHER, Side.BUY, 1.0, qty=1))
        await rig.push(quote(kst(10, 0, 1), OTHER))
        await rig.until(lambda: len(broker.placed) == 2)
        for number in range(count):
            at_ns = kst(10, 0, 2) + number * 1_000_000
            begun = perf_counter_ns()
            await rig.push(quote(at_ns))
            took["prices"].append(perf_counter_ns() - begun)
            begun = perf_counter_ns()
            broker.fill(key, 1, 150_100, at_ns)
            while rig.kernel.counters.fills <= number:
                await asyncio.sleep(0)
            took["P0"].append(perf_counter_ns() - begun)
            if number % 10 == 0:
                begun = perf_counter_ns()
                await handler.step(command("clear_override" if number % 20 else "override", **_terms(number)))
                took["operators"].append(perf_counter_ns() - begun)
        if handler.is_waiting(release) is answers:
            raise RuntimeError(f"the release {'was not' if answers else 'was'} answered")
    return {what: statistics.median(times) for what, times in took.items()}


def _terms(number: int) -> dict[str, str]:
    return {} if number % 20 else {"state": "DEFENSIVE"}


def stopped_after_restart() -> int:
    """Return the time from the begin of a restart to an emergency stop in force, ns; the broker answers nothing."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_stopped_after_restart(Path(directory)))


async def _stopped_after_restart(directory: Path) -> int:
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(directory, strategies=[strategy], settings=SETTINGS, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        await rig.drain()
        await rig.kernel.shared.record.checkpoint()
    broker.holds_queries = True
    again, begun = ScriptedStrategy(), perf_counter_ns()
    async with live(directory, strategies=[again], settings=SETTINGS, broker=broker, feed=TwoSymbols()) as rig:
        await CommandHandler(rig.kernel).execute(command("stop"))
        await rig.until(lambda: rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        took = perf_counter_ns() - begun
        if not rig.kernel.unresolved.not_compared:
            raise RuntimeError("the broker has answered: nothing was measured")
        broker.holds_queries = False
        broker.let_tell()
    return took


def show_slow(figures: dict[str, Any]) -> str:
    """The times while the broker is silent."""
    told = ", ".join(f"{what} {micros(figures[what] / 1_000)}" for what in WHAT)
    return f"while the broker is silent, medians of {figures['pairs']} pairs: {told}"
