"""Executes the commands that move capital: deposits, withdrawals, shares of EXTERNAL that a strategy takes over.

Each is booked whole and once, with a checkpoint that is on disk before it is answered. At a real broker money comes
to the pools from EXTERNAL cash and goes back to it, and nothing is booked unless the broker's books are ours: they
are asked for before anything is booked, and again when something was booked meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.event.contracts import EventPriority
from qts.ledger.bookings import BookingNote, positive_quanta
from qts.ledger.contracts import BookingEffect, BookingKind
from qts.money import ZERO, floor_to, is_bounded, is_multiple, minus, negated, plus, sum_of
from qts.runtime.control.broker_commands import ANSWER_WITHIN_S
from qts.runtime.control.commands import Adopt, Answer, Deposit, Withdraw, name_of
from qts.runtime.kernel import Kernel
from qts.runtime.metrics.capital_move import CapitalMove
from qts.runtime.orders.book_differences import share_difference
from qts.runtime.orders.broker_books import BrokerBooks, read_books, settled_cash
from qts.runtime.orders.broker_queries import answered

CapitalCommand = Adopt | Deposit | Withdraw
_SETTLED = " cash"
"""Ends the reference of what a broker's cash had gained or lost when a command was executed."""


class CapitalCommands:
    """An executor of one command at a time, between two handlers, on the session's thread."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._shared = kernel.shared
        self._account = kernel.shared.account

    def question(self, command: CapitalCommand) -> CapitalQuestion | None:
        """Return what has to be asked before ``command`` is booked; None: nothing, a simulated broker for one.

        Raises InputError for an amount that is not allowed.
        """
        if self._kernel.venue.is_simulated or self._is_booked(command):
            return None
        self._require_amount(command)
        return CapitalQuestion(self._kernel, self, command)

    async def execute(self, command: CapitalCommand, books: BrokerBooks | None = None) -> Answer:
        """Book ``command`` and return what was booked; raise what it is refused for.

        ``books``: what a real broker shows now, None at a simulated one. Raises InputError, with nothing booked,
        for values that are not allowed or while capital may not move, and when ``books`` are not ours; StorageError
        when the store has failed.
        """
        if self._is_booked(command):
            return Answer(done=True, answer=f"this {name_of(command)} was booked before; it is booked once")
        self._require_amount(command)
        if books is not None:
            self._require_ours(command, books)
        if not self._shared.safety.is_trading_allowed and not (isinstance(command, Deposit) and self._lacks_money):
            state = self._shared.safety.current_state.value
            raise InputError(f"safety is {state}: no capital moves before it is released; nothing was booked")
        note = BookingNote(command.id, self._shared.clock.time_ns(), f"operator:{command.operator}", command.reason)
        if isinstance(command, Adopt):
            return await self._adopt(command, note)
        return await self._move_cash(command, note, books)

    @property
    def _lacks_money(self) -> bool:
        """Return whether the account is worth nothing, or a pool is below 0, so that it needs a deposit."""
        return self._shared.equity() <= 0 or any(self._account.available(pool) < 0 for pool in Pool)

    def _is_booked(self, command: CapitalCommand) -> bool:
        kind = BookingKind.WITHDRAWAL if isinstance(command, Withdraw) else BookingKind.DEPOSIT
        return self._account.has_noted(kind, BookingNote(command.id, 0, "", ""))

    def _require_amount(self, command: CapitalCommand) -> None:
        if not isinstance(command, Adopt):
            positive_quanta(command.amount, self._account.quantum, name_of(command))

    def _require_ours(self, command: CapitalCommand, books: BrokerBooks) -> None:
        """Raise InputError unless the broker's books are ours: news of executions may be missing here.

        And for shares to adopt that the broker does not show.
        """
        name = self._kernel.broker.name
        if isinstance(command, Adopt):
            differs = share_difference(books, name, self._account, command.symbol)
            if differs:
                raise InputError(
                    f"{differs}; nothing was booked. Ask again when {name} shows what is booked here; "
                    "'qts reconcile' compares the books"
                )
        if not books.are_in(self._account):
            raise InputError(
                f"not everything that was executed at {name} is booked here: nothing was booked; ask again when it "
                "is, or look at 'qts safety show'"
            )

    # -- shares ------------------------------------------------------------------------------------------------

    async def _adopt(self, command: Adopt, note: BookingNote) -> Answer:
        pool, price = self._pool_for(command), self._shared.last.mark(command.symbol)
        qty = self._qty_of(command)
        if price is None or price <= 0:
            raise InputError(
                f"no price of {command.symbol} is known yet, so its value cannot be counted as capital; ask again "
                "when there is one"
            )
        before = self._shared.equity()
        with self._shared.record.whole(f"adopt {command.id}"):
            effects = self._account.take_over(
                command.symbol, qty, note, strategy=command.strategy, pool=pool, price=price
            )
            self._book(effects, before)
        await self._shared.record.checkpoint()
        (taken,) = [one.booking for one in effects if one.booking.pool is not None]
        left = self._account.external.qty(command.symbol)
        return Answer(
            done=True,
            answer=f"{command.strategy} ({pool.value}) has {qty:,f} shares of {command.symbol} that cost "
            f"{self._money(taken.cost)} and are worth {self._money(price)} each; {left:,f} stay EXTERNAL",
        )

    def _pool_for(self, command: Adopt) -> Pool:
        """Return the pool of the strategy that takes over. Raises InputError unless it can hold the shares."""
        p, name, symbol = self._shared, command.strategy, command.symbol
        contexts = {context.strategy.name: context for context in self._kernel.host.contexts}
        if name not in contexts:
            raise InputError(f"there is no strategy {name!r} in this run; allowed: {', '.join(contexts)}")
        if symbol not in p.feed.instruments:
            allowed = ", ".join(sorted(p.feed.instruments))
            raise InputError(f"this session has no prices of {symbol!r}; allowed: {allowed}")
        pool = p.config.capital.paying_pool(contexts[name].strategy.pool)
        bound = self._account.pool_of(name)
        if bound is not None and bound is not pool:
            raise InputError(f"strategy {name} belongs to pool {bound.value}, and pays from {pool.value} now")
        if contexts[name].halted:
            raise InputError(f"strategy {name} is halted and would not look after {symbol}")
        if self._account.holding(name, symbol) < 0:
            raise InputError(f"strategy {name} has sold {symbol} that it never held: nothing comes there")
        stop = p.stops.covering(name, symbol, pool.value)
        if stop is not None:
            raise InputError(f"{stop}; no shares come there before it is released")
        selling = p.protective.reason_of(name, symbol)
        if selling:
            raise InputError(f"{name} is selling all its {symbol}: {selling}")
        return pool

    def _qty_of(self, command: Adopt) -> Decimal:
        """Return the shares that ``command`` means. Raises InputError for more than there are, or part of a lot."""
        external, symbol = self._account.external, command.symbol
        held, lot = external.qty(symbol), self._shared.feed.instruments[symbol].lot
        if held <= 0:
            there = ", ".join(f"{qty:,f} of {name}" for name, qty in external.positions().items())
            count = f"{held:,f}" if held else "no"
            raise InputError(f"EXTERNAL holds {count} shares of {symbol}; it holds: {there or 'nothing'}")
        qty = held if command.qty is None else command.qty
        if not (is_bounded(qty) and 0 < qty <= held and is_multiple(qty, lot)):
            raise InputError(
                f"quantity {qty:f}: EXTERNAL holds {held:,f} shares of {symbol}; allowed: above 0, at most "
                f"{floor_to(held, lot):,f}, in lots of {lot:f}"
            )
        return qty

    # -- money -------------------------------------------------------------------------------------------------

    async def _move_cash(self, command: Deposit | Withdraw, note: BookingNote, books: BrokerBooks | None) -> Answer:
        comes = isinstance(command, Deposit)
        signed = command.amount if comes else negated(command.amount)
        gained = ZERO if books is None else self._gained(books)
        if isinstance(command, Withdraw):
            self._require_free(command)
        elif books is not None:
            self._require_external(command, plus(self._account.external.cash, gained))
        before = self._shared.equity()
        with self._shared.record.whole(f"{name_of(command)} {command.id}"):
            effects = self._moved(signed, gained, note, is_simulated=books is None)
            self._book(effects, before)
        await self._shared.record.checkpoint()
        shares = {one.booking.pool: one.booking.amount for one in effects if one.booking.pool is not None}
        divided = ", ".join(f"{pool.value} {amount:+,f}" for pool, amount in shares.items())
        what = "deposited" if comes else "withdrawn"
        return Answer(
            done=True, answer=f"{self._money(command.amount)} {what}: {divided}{self._external_text(books)}"
        )

    def _moved(
        self, signed: Decimal, gained: Decimal, note: BookingNote, *, is_simulated: bool
    ) -> Sequence[BookingEffect]:
        """Book money that comes to the pools (below 0: leaves them), all of which is there."""
        account, remainder = self._account, self._shared.config.capital.remainder
        weights: Mapping[Pool, Decimal] = self._kernel.capital.targets
        if not is_simulated:
            settled = account.follow_external_cash(
                gained, note._replace(reference=f"{note.reference}{_SETTLED}", reason="the broker's settled cash")
            )
            moved = account.move_external_cash(signed, note, weights=weights, remainder=remainder)
            assert moved is not None  # that much is there
            return moved if settled is None else (settled, *moved)
        if signed > 0:
            return account.deposit(signed, note, weights=weights, remainder=remainder)
        taken = account.withdraw(negated(signed), note, weights=weights, remainder=remainder)
        assert taken is not None  # that much is there
        return taken

    def _gained(self, books: BrokerBooks) -> Decimal:
        """Return what the broker's settled cash is above what is booked, in whole quanta; below 0: it is less.

        EXTERNAL has at least that much.

        Raises InputError where the broker has less than the pools.
        """
        account, broker = self._account, self._kernel.broker
        cash = settled_cash(broker, books.balance, self._shared.config.runtime.currency)
        if cash < account.cash:
            raise InputError(
                f"{broker.name} has {self._money(cash)} of settled cash, the pools {self._money(account.cash)}: "
                "nothing was booked; find out what is missing there"
            )
        whole = floor_to(minus(cash, account.broker_cash), account.quantum)  # what is booked may be finer
        return max(whole, negated(max(ZERO, floor_to(account.external.cash, account.quantum))))

    def _require_free(self, command: Withdraw) -> None:
        """Raise InputError unless that much is free, and something is left: without equity all trading stops."""
        quantum = self._account.quantum
        free = sum_of(max(ZERO, floor_to(self._account.available(pool), quantum)) for pool in Pool)
        most = min(free, max(ZERO, minus(floor_to(self._shared.equity(), quantum), quantum)))
        if command.amount > most:
            raise InputError(
                f"{name_of(command)} of {self._money(command.amount)}: there is {self._money(free)} of free cash "
                f"in the pools, and the account has to keep a worth above 0; at most {self._money(most)} is allowed"
            )

    def _require_external(self, command: Deposit, most: Decimal) -> None:
        """Raise InputError for more than the ``most`` cash that is EXTERNAL."""
        if command.amount > most:
            raise InputError(
                f"{name_of(command)} of {self._money(command.amount)}: there is {self._money(most)} of EXTERNAL "
                "cash; at most that is allowed"
            )

    def _external_text(self, books: BrokerBooks | None) -> str:
        return "" if books is None else f"; EXTERNAL cash is {self._money(self._account.external.cash)}"

    def _money(self, amount: Decimal) -> str:
        return f"{amount:,f} {self._shared.config.runtime.currency}"

    # -- both --------------------------------------------------------------------------------------------------

    def _book(self, effects: Sequence[BookingEffect], before: Decimal) -> None:
        """Store the rows with the next checkpoint; what equity was ``before`` is no measure of results any more."""
        p, now_ns = self._shared, self._shared.clock.time_ns()
        move = CapitalMove(before, p.equity(), self._account.quantum)
        p.day.on_capital_moved(move)
        p.metrics.on_capital_moved(move)
        p.extremes.on_capital_moved(move, now_ns)
        for effect in effects:
            for record in effect.records:
                p.record.write_later(record)
            self._kernel.components.listeners.on_booking(effect.booking)
        self._kernel.due.audit_soon()


class CapitalQuestion:
    """The question for the broker's books before ``command`` is booked, and the booking with the answer."""

    def __init__(self, kernel: Kernel, commands: CapitalCommands, command: CapitalCommand) -> None:
        self._kernel = kernel
        self._commands = commands
        self._command = command
        self._revision = 0
        self._books: BrokerBooks | None = None

    async def ask(self) -> None:
        """Read the broker's books. Raises BrokerUnavailable."""
        kernel = self._kernel
        self._revision = kernel.shared.record.book_revision
        reading = read_books(kernel.broker, kernel.execution_reports.numbers.listed)
        self._books = await answered(reading, ANSWER_WITHIN_S)

    async def execute(self) -> Answer | None:
        """Book the command; None when something was booked since the books were asked for, or is being booked."""
        kernel, books, self._books = self._kernel, self._books, None
        is_busy = kernel.dispatcher.stats.is_busy_with(EventPriority.P0_CRITICAL)
        if books is None or is_busy or kernel.shared.record.book_revision != self._revision:
            return None
        return await self._commands.execute(self._command, books)
