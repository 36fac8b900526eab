"""Commands that ask the broker: nothing waits for it, each is answered once, and what has changed is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.execution.contracts import Fill
from qts.market.contracts import Quote
from qts.runtime.background_work import BackgroundWork
from qts.runtime.control import capital_commands
from qts.runtime.control.broker_commands import BrokerCommands
from qts.runtime.control.command_files import write_command
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import (
    Adopt,
    Answer,
    Command,
    Deposit,
    Override,
    Reconcile,
    Release,
    Stop,
    Withdraw,
)
from qts.runtime.control.operators import Operators
from qts.runtime.persistence.session_log import SessionLog
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst

WHO = {"operator": "kim", "reason": "test"}
DEPOSIT = Deposit(**WHO, id="deposit-1", amount=D(1_000_000))
WITHDRAW = Withdraw(**WHO, id="withdraw-1", amount=D(400_000))
ADOPT = Adopt(**WHO, id="adopt-001", symbol=SYMBOL, strategy="scripted", qty=D(5))
RELEASE, RECONCILE = Release(**WHO), Reconcile(**WHO)
OVERRIDE = Override(**WHO, state="DEFENSIVE")
STOP = Stop(**WHO, liquidate=False)
AT = kst(9, 0, 5)


def quote(second: float) -> Quote:
    return Quote(SYMBOL, AT + round(second * 1e9), D(160_000), D(160_100), D(10_000), D(10_000))


class RunningSession:
    """A session on the loop, whose operator gives commands by files."""

    def __init__(self, directory: Path, rig: LiveRig, broker: ScriptedBroker) -> None:
        self.rig, self.broker, self._directory = rig, broker, directory
        self.log = SessionLog(directory, "INFO")
        self.operators = Operators(rig.kernel, CommandHandler(rig.kernel), lambda: "hash", self.log, directory)
        strategy = rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        self.strategy = strategy

    def gives(self, *commands: Command) -> list[Path]:
        return [write_command(self._directory, one) for one in commands]

    @staticmethod
    def told(paths: list[Path]) -> list[str | None]:
        """The answers, None for one that is not there; "refused: " before a refusal."""
        answers = [msgspec.json.decode(one.read_bytes(), type=Answer) if one.exists() else None for one in paths]
        return [None if one is None else f"{'' if one.done else 'refused: '}{one.answer}" for one in answers]

    async def looks(self) -> None:
        """Let the session do between two values what its driver does there."""
        await self.rig.kernel.run_due_work()
        await self.operators.run_commands()
        await asyncio.sleep(0)

    async def until_asked(self) -> None:
        """Wait until the broker has a question that it does not answer."""
        async with asyncio.timeout(30):
            while not self.broker.asked:
                await self.looks()
                await asyncio.sleep(0.001)

    async def until_answered(self) -> None:
        """Let the broker answer all that a command asks of it; the command is not executed yet."""
        async with asyncio.timeout(30):
            while self.rig.kernel.background.is_running("command"):
                self.broker.let_tell()
                await asyncio.sleep(0.001)

    async def until_told(self, paths: list[Path]) -> list[str | None]:
        """Let the broker answer, and return the answers when all are there."""
        async with asyncio.timeout(30):
            while None in self.told(paths):
                self.broker.let_tell()
                await self.looks()
                await asyncio.sleep(0.001)
        return self.told(paths)

    def stored(self) -> list[tuple[str, str, int, int]]:
        """Kind, owner, cash and shares of the stored bookings behind the opening."""
        return [
            (row.kind.value, "EXTERNAL" if row.pool is None else row.pool.value, int(row.amount), int(row.qty))
            for row in self.rig.store.bookings()
            if row.kind.value != "OPENING"
        ]

    def noted(self) -> list[tuple[str, str]]:
        """Command and outcome of each line about an operator's command, in order."""
        self.log.flush()
        lines = map(msgspec.json.decode, (self._directory / "session.log.jsonl").read_bytes().splitlines())
        return [(one["command"], one["outcome"]) for one in lines if "outcome" in one]

    def files(self) -> list[str]:
        return sorted(one.name.partition("-")[0] for one in (self._directory / "operator").glob("*.asked"))


def used() -> ScriptedBroker:
    """A broker with 103,000,000 won, of which 100,000,000 become ours, and 7 shares of its owner."""
    broker = ScriptedBroker()
    broker.books.held, broker.books.paid = {SYMBOL: D(7)}, {SYMBOL: D(150_000)}
    broker.books.cash = D(103_000_000)
    return broker


@asynccontextmanager
async def session(directory: Path, broker: ScriptedBroker | None = None) -> AsyncIterator[RunningSession]:
    broker = broker or used()
    async with live(directory, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        await rig.show(quote(0))
        one = RunningSession(directory, rig, broker)
        try:
            yield one
        finally:  # nothing more is written, as after a kill
            one.log.close()


@pytest.mark.parametrize(
    "command", [DEPOSIT, WITHDRAW, ADOPT, RELEASE, RECONCILE], ids=lambda one: type(one).__name__
)
async def test_prices_and_commands_go_on_for_ten_seconds_without_an_answer(
    tmp_path: Path, command: Command
) -> None:
    # Given a command for which the broker is asked, and does not answer for ten seconds
    async with session(tmp_path) as one:
        if command is RELEASE:
            one.rig.kernel.on_code("FS104", "test")
            await one.rig.drain()
        one.broker.holds_queries = True
        asked = one.gives(command)
        await one.until_asked()
        # When prices of those seconds come, then each is taken in, and the strategy sees it if it may trade
        seen, rows = one.strategy.quotes, one.rig.kernel.intake.rows
        for second in range(1, 11):
            await one.rig.push(quote(second))
            await one.looks()
        assert one.rig.kernel.intake.rows == rows + 10
        await one.rig.until(lambda: one.strategy.quotes == seen + 10 * (command is not RELEASE))
        # And a stop that is given meanwhile is in force and answered, and so is a later command
        other = one.gives(*((OVERRIDE,) if command is not RELEASE else (STOP,)))
        await one.looks()
        assert [told is not None for told in one.told(other)] == [True]
        # And nothing has been done for the first one, whose file is still there
        assert (one.told(asked), one.stored()) == ([None], [])
        assert len(one.files()) == 1
        # When the broker answers, then it is answered once
        one.broker.holds_queries = False
        await one.until_told(asked)
        assert one.files() == []
        for _ in range(3):
            await one.looks()
        assert len(one.noted()) == 2


async def test_those_that_ask_are_executed_in_their_order_and_others_at_once(tmp_path: Path) -> None:
    # Given a withdrawal of more than is free before the deposit in front of it
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        more = Withdraw(**WHO, id="withdraw-2", amount=D(100_900_000))
        asked = one.gives(DEPOSIT)
        await one.until_asked()
        asked += one.gives(more)
        await one.looks()
        later = one.gives(OVERRIDE)
        await one.looks()
        await asyncio.sleep(0.05)
        assert (one.told(asked), one.noted(), one.broker.asked) == ([None, None], [("override", "done")], 1)
        # When the broker answers
        told = await one.until_told(asked)
        # Then the withdrawal was executed after the deposit
        assert told[0] is not None
        assert told[0].startswith("1,000,000 KRW deposited")
        assert told[1] is not None
        assert told[1].startswith("100,900,000 KRW withdrawn")
        assert one.noted() == [("override", "done"), ("deposit", "done"), ("withdraw", "done")]
        assert one.rig.kernel.shared.account.cash == 100_000
        assert len(one.told(later)) == 1


async def test_what_is_executed_while_the_broker_is_asked_has_it_asked_again(tmp_path: Path) -> None:
    # Given a deposit whose question was answered before a purchase of 2 at 160,100
    async with session(tmp_path) as one:
        one.strategy.intents.append(Intent(SYMBOL, Side.BUY, 1.0, qty=2))
        await one.rig.show(quote(1))
        (order,) = [placed.request for placed in one.broker.placed]
        one.broker.holds_queries = True
        asked = one.gives(Deposit(**WHO, id="deposit-1", amount=D(3_000_000)))
        await one.until_asked()
        before = one.broker.calls.count("holdings")
        await one.until_answered()
        assert (one.told(asked), one.broker.asked) == ([None], 0)
        assert one.broker.calls.count("holdings") == before + 2
        # When it is booked before the command is executed
        one.broker.fill(order.client_order_id, 2, 160_100, AT + 2_000_000_000)
        await one.rig.until(lambda: one.rig.kernel.shared.account.position(SYMBOL) == 2)
        (told,) = await one.until_told(asked)
        # Then the broker was asked again, and the cash that is EXTERNAL is what it was
        assert told is not None
        assert told.endswith("EXTERNAL cash is 0 KRW")
        assert one.broker.calls.count("holdings") == before + 4
        account = one.rig.kernel.shared.account
        assert account.broker_cash == one.broker.books.cash


async def test_a_purchase_and_a_sale_meanwhile_are_noticed_although_the_shares_are_what_they_were(
    tmp_path: Path,
) -> None:
    # Given a deposit whose question was answered with 3,000,000 won that are EXTERNAL
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        asked = one.gives(DEPOSIT)
        await one.until_asked()
        await one.until_answered()
        assert one.broker.asked == 0
        # When its owner buys a share for 1,000 and sells it for 900 before the command is executed
        for number, (side, price) in enumerate(((Side.BUY, 1_000), (Side.SELL, 900))):
            one.broker.trade_by_hand(
                Fill("scripted", f"x-{number}", "hand", SYMBOL, side, D(1), D(price), D(0), D(0), AT, last=False)
            )
        await one.rig.until(lambda: one.rig.kernel.shared.account.external.cash == 2_999_900)
        (told,) = await one.until_told(asked)
        # Then the 100 are not taken for money that the broker lacks or has too much
        assert told is not None
        assert told.endswith("EXTERNAL cash is 1,999,900 KRW")
        assert one.rig.kernel.shared.account.broker_cash == one.broker.books.cash


async def test_books_that_change_all_the_time_refuse_it(tmp_path: Path) -> None:
    # Given an owner who trades by hand whenever the broker is asked for money
    async with session(tmp_path) as one:
        count = 0

        def trade() -> None:
            nonlocal count
            if one.broker.calls[-1] == "holdings":
                count += 1
                one.broker.trade_by_hand(
                    Fill(
                        "scripted",
                        f"x-{count}",
                        "hand",
                        SYMBOL,
                        Side.BUY,
                        D(1),
                        D(1_000),
                        D(0),
                        D(0),
                        AT,
                        last=False,
                    )
                )

        one.broker.before_query = trade
        (told,) = await one.until_told(one.gives(DEPOSIT))
        # Then nothing of it is booked, and the answer says why
        assert told is not None
        assert told.startswith("refused: ")
        assert "change" in told
        assert [row for row in one.stored() if row[0] == "DEPOSIT"] == []


@pytest.mark.parametrize("command", [DEPOSIT, ADOPT, RELEASE], ids=lambda one: type(one).__name__)
async def test_a_stop_meanwhile_refuses_it(tmp_path: Path, command: Command) -> None:
    async with session(tmp_path) as one:
        if command is RELEASE:
            one.rig.kernel.on_code("FS104", "test")
            await one.rig.drain()
        one.broker.holds_queries = True
        asked = one.gives(command)
        await one.until_asked()
        one.gives(STOP)
        await one.looks()
        await one.rig.until(lambda: one.rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        (told,) = await one.until_told(asked)
        said = "a stop came at the same time" if command is RELEASE else "safety is LOCKDOWN: no capital moves"
        assert told is not None
        assert told.startswith(f"refused: {said}")
        assert one.stored() == []
        assert one.rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN


async def test_a_release_behind_another_command_is_refused_for_a_stop_that_its_operator_could_not_see(
    tmp_path: Path,
) -> None:
    # Given a release that waits for a deposit to be over
    async with session(tmp_path) as one:
        one.rig.kernel.on_code("FS104", "test")
        await one.rig.drain()
        one.broker.holds_queries = True
        asked = one.gives(RECONCILE)
        await one.until_asked()
        asked += one.gives(RELEASE)
        await one.looks()
        # When a stop comes, and time passes
        one.gives(STOP)
        for second in range(1, 5):
            await one.rig.push(quote(second))
            await one.looks()
        told = await one.until_told(asked)
        # Then nothing is released
        assert told[1] is not None
        assert told[1].startswith("refused: a stop came at the same time")


async def test_a_broker_that_never_answers_refuses_it_and_the_next_has_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capital_commands, "ANSWER_WITHIN_S", 0.05)
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        asked = one.gives(DEPOSIT)
        await one.until_asked()
        asked += one.gives(RELEASE)
        async with asyncio.timeout(30):
            while one.told(asked)[0] is None:
                await one.looks()
                await asyncio.sleep(0.001)
        assert one.told(asked) == ["refused: the broker has not answered a query within 0.05 s", None]
        assert one.stored() == []
        assert (await one.until_told(asked))[1] == "safety is NORMAL: there is nothing to release"


async def test_the_end_of_the_session_is_told(tmp_path: Path) -> None:
    # Given a deposit that the broker is asked about, and a withdrawal behind it
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        asked = one.gives(DEPOSIT)
        await one.until_asked()
        asked += one.gives(WITHDRAW)
        await one.looks()
        # When the session ends
        await one.rig.kernel.background.cancel()
        one.operators.close()
        # Then both are refused, and no later session executes them
        ended = "refused: the session ended before the broker had answered: it is not carried out; give it again"
        assert one.told(asked) == [ended, ended]
        assert (one.stored(), one.files()) == ([], [])


async def test_a_kill_meanwhile_has_done_nothing_and_the_next_session_does_it_once(tmp_path: Path) -> None:
    broker = used()
    async with session(tmp_path, broker) as one:
        broker.holds_queries = True
        asked = one.gives(DEPOSIT)
        await one.until_asked()
    broker.holds_queries = False
    async with session(tmp_path, broker) as one:
        assert (one.stored(), one.told(asked), one.files()) == ([], [None], ["deposit"])
        await one.until_told(asked)
        assert sum(row[2] for row in one.stored() if row[1] != "EXTERNAL") == 1_000_000
        assert one.files() == []


async def test_no_more_than_32_wait(tmp_path: Path) -> None:
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        asked = one.gives(DEPOSIT)
        await one.until_asked()
        asked += one.gives(*[RECONCILE] * 32)
        for _ in range(2):
            await one.looks()
        told = [answer for answer in one.told(asked) if answer is not None]
        assert told == ["refused: 32 commands wait for the broker already; give it again when they are over"]
        later = one.gives(STOP)
        await one.looks()
        assert one.told(later) != [None]


async def test_two_audits_do_not_forget_what_the_other_adds_up(tmp_path: Path) -> None:
    # Given an audit that waits for the broker
    async with session(tmp_path) as one:
        one.broker.holds_queries = True
        auditor, now_ns = one.rig.kernel.auditor, one.rig.clock.time_ns()
        audits: list[Any] = [asyncio.ensure_future(auditor.run_full_audit(now_ns))]
        while not one.broker.asked:
            await asyncio.sleep(0.001)
        # When another one is asked for
        audits.append(asyncio.ensure_future(auditor.run_whole_audit(now_ns)))
        await asyncio.sleep(0.2)
        # Then it begins when the first has ended
        assert one.broker.asked == 1
        while not all(audit.done() for audit in audits):
            one.broker.let_tell()
            await asyncio.sleep(0.001)
        assert [audit.result() for audit in audits] == [True, True]
        assert auditor.has_proven_all


async def test_the_next_question_is_asked_when_the_end_of_the_one_before_is_noted() -> None:
    """That is a turn of the loop after its answer; a question begun in that turn would end the session."""

    class Asked:
        async def ask(self) -> None:
            """Be answered at once."""

        async def execute(self) -> Answer:
            return Answer(done=True, answer="done")

    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    background = BackgroundWork(lambda: None)
    commands = BrokerCommands(background)
    for one in (DEPOSIT, WITHDRAW):
        commands.add(one, Asked())
    for _ in range(8):  # each turn of the loop looks at both, as every poll does
        for one in (DEPOSIT, WITHDRAW):
            if one in commands:
                await commands.step(one)
        await asyncio.sleep(0)
    assert DEPOSIT not in commands
    assert WITHDRAW not in commands
    assert errors == []
    assert not background.is_busy
