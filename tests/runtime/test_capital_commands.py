"""``adopt``, ``deposit`` and ``withdraw`` in a running session: booked whole and once, and never a result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.execution.contracts import Fill
from qts.execution.protective.contracts import Origin
from qts.ledger.contracts import Charges
from qts.market.contracts import Quote
from qts.runtime.control.command_files import write_command
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Adopt, Answer, Command, Deposit, Release, Stop, Withdraw
from qts.runtime.control.operator_inbox import OperatorInbox
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side
from tests.broker.scripted import DAY, ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_account_opening import agreed

OTHER = "000660"
GIVEN = {"operator": "kim", "reason": "test", "id": "0123456789ab"}
AT = kst(9, 0, 5)


def shares(strategy: str = "scripted", symbol: str = SYMBOL, qty: D | None = None) -> Adopt:
    return Adopt(**GIVEN, symbol=symbol, strategy=strategy, qty=qty)


def quote(bid: int, at_ns: int = AT) -> Quote:
    return Quote(SYMBOL, at_ns, bid=D(bid), ask=D(bid + 100), bid_size=D(10_000), ask_size=D(10_000))


@asynccontextmanager
async def session(
    directory: Path, broker: ScriptedBroker | None = None, **settings: str
) -> AsyncIterator[tuple[LiveRig, CommandHandler, ScriptedBroker]]:
    """A session at a broker with 103,000,000 won, of which 100,000,000 are ours, and 7 shares for 1,050,000."""
    if broker is None:
        broker = ScriptedBroker()
        broker.books.held, broker.books.paid, broker.books.cash = (
            {SYMBOL: D(7), OTHER: D(2)},
            dict.fromkeys((SYMBOL, OTHER), D(150_000)),
            D(103_000_000),
        )
    async with live(directory, strategies=[ScriptedStrategy()], settings=settings, broker=broker) as rig:
        await rig.show(quote(160_000))
        yield rig, CommandHandler(rig.kernel), broker


def pools(rig: LiveRig) -> tuple[int, ...]:
    return tuple(int(rig.kernel.shared.account.pool_cash(pool)) for pool in Pool)


def stored(rig: LiveRig) -> list[tuple[str, str, int, int]]:
    """Return kind, owner, cash and shares of the stored bookings behind the opening."""
    return [
        (row.kind.value, "EXTERNAL" if row.pool is None else row.pool.value, int(row.amount), int(row.qty))
        for row in rig.store.bookings()
        if row.kind.value != "OPENING"
    ]


async def audited(rig: LiveRig) -> list[object]:
    await rig.drain()
    await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())
    return agreed(rig.kernel)


async def test_shares_of_the_owner_become_a_strategys(tmp_path: Path) -> None:
    # Given 7 shares at 150,000 that are EXTERNAL, and a market at 160,000
    async with session(tmp_path) as (rig, handler, _):
        p = rig.kernel.shared
        (context,) = rig.kernel.host.contexts
        before, highest = p.equity(), p.extremes.values.highest.amount
        # When 5 of them are given to the strategy
        answer = await handler.execute(shares(qty=D(5)))
        # Then it holds them at what they have cost, and no cash has moved
        assert answer == Answer(
            done=True,
            answer="scripted (SCALP) has 5 shares of 005930 that cost 750,000 KRW and are worth 160,000 KRW each; "
            "2 stay EXTERNAL",
        )
        assert (dict(context.holdings), context.average_cost(SYMBOL)) == ({SYMBOL: 5}, 150_000)
        assert (p.account.cash, p.account.external.positions()) == (100_000_000, {SYMBOL: 2, OTHER: 2})
        assert stored(rig) == [("WITHDRAWAL", "EXTERNAL", 0, -5), ("DEPOSIT", "SCALP", 0, 5)]
        assert [(r.actor, r.reason, r.price) for r in rig.store.bookings()][-1] == ("operator:kim", "test", 160_000)
        # And 800,000 are capital that came in: no result, no new high, no profit of the day
        assert p.equity() == before + 800_000
        assert set(p.account.realized_by_pool.values()) == {D(0)}
        assert p.extremes.values.highest.amount == highest + 800_000
        assert p.day.open_equity == before + 800_000
        # And the strategy was told of no fill
        strategy = context.strategy
        assert isinstance(strategy, ScriptedStrategy)
        assert (strategy.fills, rig.kernel.counters.fills) == ([], 0)
        assert await audited(rig) == [True] * 4


async def test_what_was_taken_over_can_be_sold_and_the_rest_never_is(tmp_path: Path) -> None:
    # Given 5 of the owner's 7 shares given to the strategy
    async with session(tmp_path) as (rig, handler, broker):
        await handler.execute(shares(qty=D(5)))
        await rig.drain()
        # When everything is sold by an emergency stop
        await handler.execute(Stop(operator="kim", reason="test"))
        await rig.drain()
        (order,) = [one.request for one in broker.placed]
        # Then it sells 5, never 7, and nothing of what was not given
        assert (order.symbol, order.side, order.qty) == (SYMBOL, Side.SELL, 5)
        broker.fill(order.client_order_id, 5, 160_000, AT + 1)
        await rig.show(quote(160_000, AT + 2))
        assert [one.request.qty for one in broker.placed] == [5]
        # And it has earned 5 × 10,000 over their cost
        account = rig.kernel.shared.account
        assert (account.positions(), account.external.positions()) == ({}, {SYMBOL: 2, OTHER: 2})
        assert account.realized_by_pool[Pool.SCALP] == 50_000
        assert await audited(rig) == [True] * 4


async def test_a_command_is_booked_once_however_often_it_is_found(tmp_path: Path) -> None:
    # Given a file of a command that was executed, but not removed before the process was killed
    adopt = shares()
    deposit = Deposit(**{**GIVEN, "id": "deposit-1234"}, amount=D(1_000_000))
    async with session(tmp_path) as (rig, handler, broker):
        await handler.execute(adopt)
        await handler.execute(deposit)
        rows, money = stored(rig), pools(rig)
    # When the next process finds it again
    async with session(tmp_path, broker) as (rig, handler, _):
        for command in (adopt, deposit):
            answer = await handler.execute(command)
            assert (answer.done, "booked before" in answer.answer) == (True, True)
        # Then nothing more is booked
        assert (stored(rig), pools(rig)) == (rows, money)
        assert rig.kernel.shared.account.holding("scripted", SYMBOL) == 7
        assert await audited(rig) == [True] * 4


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (shares("stranger"), "no strategy 'stranger' in this run; allowed: scripted"),
        (shares(symbol=OTHER), "no prices of '000660'; allowed: 005930"),
        (
            shares(qty=D(8)),
            "quantity 8: EXTERNAL holds 7 shares of 005930; allowed: above 0, at most 7, in lots of 1",
        ),
        (shares(qty=D("0.5")), "quantity 0.5: EXTERNAL holds 7 shares of 005930"),
        (shares(qty=D("NaN")), "quantity NaN"),
        (
            Deposit(**GIVEN, amount=D(3_000_001)),
            "deposit of 3,000,001 KRW: there is 3,000,000 KRW of EXTERNAL cash",
        ),
        (Deposit(**GIVEN, amount=D("0.5")), "whole units of 1 above 0, got 0.5"),
        (Deposit(**GIVEN, amount=D("Infinity")), "whole units of 1 above 0"),
        (Withdraw(**GIVEN, amount=D(100_000_001)), "there is 100,000,000 KRW of free cash in the pools"),
        (
            Withdraw(**GIVEN, amount=D(100_000_000)),
            "has to keep a worth above 0; at most 99,999,999 KRW is allowed",
        ),
    ],
)
async def test_what_is_not_there_is_refused_with_what_is_allowed(
    tmp_path: Path, command: Command, problem: str
) -> None:
    async with session(tmp_path) as (rig, handler, _):
        with pytest.raises(InputError, match=problem):
            await handler.execute(command)
        assert stored(rig) == []
        assert rig.kernel.shared.account.broker_positions() == {SYMBOL: 7, OTHER: 2}


async def test_an_unknown_price_is_no_value(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    broker.books.held, broker.books.paid = {SYMBOL: D(7)}, {SYMBOL: D(150_000)}
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        with pytest.raises(InputError, match="no price of 005930 is known yet"):
            await CommandHandler(rig.kernel).execute(shares())


async def test_money_comes_from_external_cash_and_goes_back_to_it(tmp_path: Path) -> None:
    # Given 3,000,000 won at the broker that are not ours, to which the owner has paid 500,000 more
    async with session(tmp_path) as (rig, handler, broker):
        p = rig.kernel.shared
        assert broker.books.cash is not None
        broker.books.cash += 500_000
        # When 3,400,000 are deposited
        answer = await handler.execute(Deposit(**GIVEN, amount=D(3_400_000)))
        # Then they are ours, divided 40:35:25, and what the broker has is what the books have
        assert answer.answer == (
            "3,400,000 KRW deposited: SCALP +1,360,000, SWING +1,190,000, PORTFOLIO +850,000; "
            "EXTERNAL cash is 100,000 KRW"
        )
        assert pools(rig) == (41_360_000, 36_190_000, 25_850_000)
        assert (p.account.external.cash, p.account.broker_cash) == (100_000, broker.books.cash)
        # And it is no result, neither of the session nor of the day
        assert (p.equity(), p.extremes.values.highest.amount, p.day.open_equity) == (103_400_000,) * 3
        assert p.account.deposits_total == 3_400_000
        # When the owner withdraws 2,000,000, takes them out of the account, and withdraws 1,000 more
        answer = await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-1"}, amount=D(2_000_000)))
        assert answer.answer.endswith("EXTERNAL cash is 2,100,000 KRW")
        broker.books.cash -= 2_000_000
        await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-2"}, amount=D(1_000)))
        # Then EXTERNAL cash has followed the broker's
        assert (p.account.external.cash, p.account.broker_cash) == (101_000, broker.books.cash)
        assert (p.equity(), p.day.open_equity) == (101_399_000, 101_399_000)
        assert stored(rig)[0] == ("DEPOSIT", "EXTERNAL", 500_000, 0)
        assert ("WITHDRAWAL", "EXTERNAL", -2_000_000, 0) in stored(rig)
        assert await audited(rig) == [True] * 4


async def test_a_drawdown_stays_the_share_that_it_was(tmp_path: Path) -> None:
    # Given an account that has lost a hundredth since its high of 100,000,000
    async with session(tmp_path) as (rig, handler, broker):
        p = rig.kernel.shared
        broker.books.cash, strategy = D(104_000_000), rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        strategy.intents.append(Intent(SYMBOL, Side.BUY, 1.0, qty=50))
        await rig.show(quote(160_000, AT + 1))
        (order,) = [one.request for one in broker.placed]
        broker.fill(order.client_order_id, 50, 160_000, AT + 2)
        await rig.show(quote(140_000, AT + 3))
        assert (p.equity(), p.extremes.values.highest.amount) == (99_000_000, 100_000_000)
        # When half of what it is worth is withdrawn
        await handler.execute(Withdraw(**GIVEN, amount=D(49_500_000)))
        # Then the high is half of what it was: a hundredth is lost, not half
        assert (p.equity(), p.extremes.values.highest.amount) == (49_500_000, 50_000_000)
        assert p.metrics.metrics(rig.clock.time_ns()).drawdown_pct == pytest.approx(0.01)
        assert p.extremes.values.deepest.share == D("0.01")
        p.extremes.take_worst()
        rig.kernel.monitor.check_limits(rig.clock.time_ns())
        assert p.safety.current_state is SafetyState.NORMAL


async def test_nothing_is_booked_before_everything_that_was_executed_is(tmp_path: Path) -> None:
    # Given a sale by hand of which the session has not heard
    async with session(tmp_path) as (rig, handler, broker):
        one = Fill("scripted", "x-1", "by hand", SYMBOL, Side.SELL, D(2), D(160_000), D(0), D(0), AT + 1, last=True)
        broker.trade_by_hand(one, told=False)
        # When money is to be deposited, or shares are to be given, the proceeds among them
        shown = "005930: 5 at scripted, 7 here: 0 of the strategies, 7 of EXTERNAL; nothing was booked. Ask again"
        for command, said in (
            (Deposit(**GIVEN, amount=D(3_100_000)), "not everything that was executed at scripted is booked here"),
            (shares(), shown),
        ):
            with pytest.raises(InputError, match=said):
                await handler.execute(command)
        assert stored(rig) == []
        # Then both are possible when it has
        broker.publish(one)
        await rig.drain()
        await handler.execute(Deposit(**GIVEN, amount=D(3_320_000)))
        assert rig.kernel.shared.account.external.cash == 0


async def test_the_broker_has_less_than_the_pools(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, broker):
        broker.books.cash = D(99_999_999)
        with pytest.raises(
            InputError, match="scripted has 99,999,999 KRW of settled cash, the pools 100,000,000 KRW"
        ):
            await handler.execute(Withdraw(**GIVEN, amount=D(1)))
        assert stored(rig) == []


async def test_money_moves_where_fees_are_finer_than_the_quantum(tmp_path: Path) -> None:
    # Given a purchase by the session for a fee of 225.15, and one by hand at a price of 150,100.25
    async with session(tmp_path) as (rig, handler, broker):
        account, strategy = rig.kernel.shared.account, rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        strategy.intents.append(Intent(SYMBOL, Side.BUY, 1.0, qty=2))
        await rig.show(quote(160_000, AT + 1))
        key = broker.placed[-1].request.client_order_id
        for order, price, fee in ((key, D(160_100), D("225.15")), ("by hand", D("150100.25"), D(0))):
            broker.trade_by_hand(
                Fill("scripted", f"x-{order}", order, SYMBOL, Side.BUY, D(1), price, fee, D(0), AT + 2, last=False)
            )
        await rig.drain()
        # When money is deposited and withdrawn
        await handler.execute(Deposit(**GIVEN, amount=D(1_000)))
        await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-1"}, amount=D(500)))
        # Then whole won have moved, EXTERNAL follows the broker's cash in whole won, and no more than it has
        assert [row for row in stored(rig) if row[1] == "EXTERNAL" and not row[3]] == [
            ("WITHDRAWAL", "EXTERNAL", -1_000, 0),
            ("DEPOSIT", "EXTERNAL", 500, 0),
        ]
        assert abs(account.broker_cash - (broker.books.cash or 0)) < 1
        broker.books.cash = account.cash + D("0.30")
        await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-2"}, amount=D(500)))
        assert 0 <= account.external.cash - 500 < 1
        assert (await audited(rig))[0] is True


async def test_shares_with_a_finer_cost_leave_nothing_behind(tmp_path: Path) -> None:
    # Given 2 shares that the owner has bought at 150,100.25, beside 7 for 1,050,000
    async with session(tmp_path) as (rig, handler, broker):
        account = rig.kernel.shared.account
        broker.trade_by_hand(
            Fill("scripted", "x-1", "a", SYMBOL, Side.BUY, D(2), D("150100.25"), D(0), D(0), AT + 1, last=True)
        )
        await rig.drain()
        # When a strategy takes over 4, and then all
        await handler.execute(shares(qty=D(4)))
        await handler.execute(Adopt(**{**GIVEN, "id": "adopt-123"}, symbol=SYMBOL, strategy="scripted"))
        # Then it has the whole cost, and where no share is left no cost is
        assert (account.external.cost(SYMBOL), account.position_rows()[0].cost) == (0, D("1350200.50"))
        assert await audited(rig) == [True] * 4


async def test_an_account_that_lacks_money_can_be_given_some(tmp_path: Path) -> None:
    # Given a session that has kept 1 won of its capital, and owes fees of 650 that the broker tells the day after
    async with session(tmp_path) as (rig, handler, broker):
        p = rig.kernel.shared
        await handler.execute(Withdraw(**GIVEN, amount=D(99_999_999)))
        broker.charged[DAY] = Charges(D(650), D(0))
        rig.kernel.components.charges.on_day_over(DAY)
        await audited(rig)
        assert (p.equity(), p.safety.current_state) == (-649, SafetyState.LOCKDOWN)
        # When its owner withdraws, that is refused as ever; a deposit is booked, and the lockdown released
        with pytest.raises(InputError, match="safety is LOCKDOWN"):
            await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-1"}, amount=D(1)))
        await handler.execute(Deposit(**{**GIVEN, "id": "deposit-1"}, amount=D(1_000_000)))
        answer = await handler.execute(Release(operator="kim", reason="test"))
        # Then the session goes on
        assert (answer.done, p.equity(), p.safety.current_state) == (True, 999_351, SafetyState.NORMAL)


async def test_while_trading_is_stopped_no_capital_moves(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, _):
        rig.kernel.on_code("FS104", "test")
        for command in (
            shares(),
            Deposit(**GIVEN, amount=D(1)),
            Withdraw(**GIVEN, amount=D(1)),
        ):
            with pytest.raises(InputError, match="safety is LOCKDOWN: no capital moves before it is released"):
                await handler.execute(command)
        assert stored(rig) == []


def _halted(rig: LiveRig) -> None:
    rig.kernel.host.contexts[0].set_halted(True)


def _sells(rig: LiveRig) -> None:
    rig.kernel.exits.request("scripted", SYMBOL, Origin.LEVEL, "stop 1 reached", kst(10))


def _bound(rig: LiveRig) -> None:
    rig.kernel.shared.account.reserve("o-1", "scripted", Pool.SWING, SYMBOL, Side.BUY, D(1), D(1), D(1))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (_halted, "strategy scripted is halted"),
        (_sells, "scripted is selling all its 005930: stop 1 reached"),
        (_bound, "strategy scripted belongs to pool SWING, and pays from SCALP now"),
    ],
)
async def test_a_strategy_that_cannot_hold_them_gets_no_shares(
    tmp_path: Path, given: Callable[[LiveRig], None], problem: str
) -> None:
    async with session(tmp_path) as (rig, handler, _):
        given(rig)
        with pytest.raises(InputError, match=problem):
            await handler.execute(shares())
        assert stored(rig) == []


async def test_a_stopped_part_gets_no_shares(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, _):
        await handler.execute(Stop(operator="kim", reason="test", symbol=SYMBOL, liquidate=False))
        await rig.drain()
        with pytest.raises(InputError, match="symbol 005930 is stopped since"):
            await handler.execute(shares())


@pytest.mark.parametrize("profile", ["three", "one"])
async def test_at_a_simulated_exchange_money_comes_from_outside(tmp_path: Path, profile: str) -> None:
    # Given a paper session
    settings = {"capital.pools": profile}
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings=settings) as rig:
        handler = CommandHandler(rig.kernel)
        # When 1,000,001 won come in and 2 go out
        await handler.execute(Deposit(**GIVEN, amount=D(1_000_001)))
        await handler.execute(Withdraw(**{**GIVEN, "id": "withdraw-1"}, amount=D(2)))
        # Then they are divided where there are three pools, and nothing is EXTERNAL
        account = rig.kernel.shared.account
        divided = (40_400_000, 35_350_000, 25_249_999) if profile == "three" else (0, 0, 100_999_999)
        assert pools(rig) == divided
        assert (account.external.cash, account.broker_cash) == (0, 100_999_999)
        with pytest.raises(InputError, match="EXTERNAL holds no shares of 005930; it holds: nothing"):
            await handler.execute(Adopt(**{**GIVEN, "id": "adopt-123"}, symbol=SYMBOL, strategy="scripted"))
        assert (await audited(rig))[0]


async def test_a_command_file_is_executed_between_two_handlers_and_answered(tmp_path: Path) -> None:
    # Given command files as qts adopt and qts capital leave them
    async with session(tmp_path) as (_, handler, _broker):
        noted: list[tuple[Any, bool]] = []
        inbox = OperatorInbox(tmp_path, handler.step, lambda command, answer: noted.append((command, answer.done)))
        adopt = shares(qty=D(2))
        paths = [write_command(tmp_path, one) for one in (adopt, Deposit(**GIVEN, amount=D(9_000_000)))]
        # When they are found, and the broker is asked for each
        found = 0
        while found < 2:
            found += await inbox.poll()
            await asyncio.sleep(0.001)
        # Then each was executed, noted with its operator and reason, and answered
        answers = [msgspec.json.decode(path.read_bytes(), type=Answer) for path in paths]
        assert [one.done for one in answers] == [True, True]
        assert noted[0] == (adopt, True)
        inbox.close()
