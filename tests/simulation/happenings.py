"""What the steps of a story do: the market's, the broker's, the machine's and the operators' part."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from qts.execution.contracts import BrokerDisconnect, Fill
from qts.market.contracts import FeedGap, MarketValue, Quote
from qts.runtime.control.commands import Adopt, Command, Deposit, Flatten, Reconcile, Release, Stop, Withdraw
from qts.strategy.contracts import Side
from tests.simulation.broker import NAME
from tests.simulation.story import Step
from tests.simulation.world import NS_PER_MS

if TYPE_CHECKING:
    from tests.simulation.play import Play

SIZE: Final = Decimal(10_000)
SILENCE_NS: Final = 8_000_000_000


class Happenings:
    """Does the steps of one story, on the world's thread."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._world, self._broker = play.world, play.broker
        self._silent_until_ns = 0

    def happen(self, step: Step) -> None:
        """Do one step."""
        does: Callable[[Step], None] = getattr(self, "_" + step.kind.replace(" ", "_"))
        does(step)

    def calm(self) -> None:
        """Let nothing go wrong any more, and end what is open at the broker."""
        broker = self._broker
        broker.is_up = True
        self._silent_until_ns = 0
        for faults in (broker.order_faults, broker.cancel_faults, broker.notice_faults, broker.query_faults):
            faults.clear()
        if self._play.disk is not None:
            self._play.disk.calm()
        for key in broker.open_orders():
            broker.end_order(key, "cancelled")

    # -- the market ----------------------------------------------------------------------------------------------

    def _quote(self, step: Step) -> None:
        now_ns = self._world.now_ns
        if now_ns < self._silent_until_ns:
            return
        bid = Decimal(150_000 + 100 * (step.pick % 3 - 1))
        ours_ns = now_ns + self._play.offset_ns
        self._play.wishes[step.who, ours_ns] = step.how, step.size
        self._show(Quote(step.symbol, ours_ns, bid=bid, ask=bid + 100, bid_size=SIZE, ask_size=SIZE))

    def _show(self, value: MarketValue | FeedGap) -> None:
        if self._play.life is not None:
            self._play.life.feed.push(value)

    def _market_fault(self, step: Step) -> None:
        now_ns, symbol = self._world.now_ns + self._play.offset_ns, step.symbol
        self._world.fire(f"market: {step.how}")
        price = Decimal(150_000)
        quotes = {
            "no bid": (None, price + 100),
            "crossed": (price + 500, price),
            "jump": (price * 11 // 10, price * 11 // 10 + 100),
            "unknown symbol": (price, price + 100),
            "back in time": (price, price + 100),
        }
        if step.how == "gap":
            self._show(FeedGap(now_ns, "values were lost", (symbol,)))
        elif step.how == "silence":
            self._silent_until_ns = self._world.now_ns + SILENCE_NS
        else:
            bid, ask = quotes[step.how]
            at_ns = now_ns - 60_000_000_000 if step.how == "back in time" else now_ns
            shown = "999999" if step.how == "unknown symbol" else symbol
            self._play.wishes[step.who, at_ns] = "buy", step.size
            self._show(Quote(shown, at_ns, bid=bid, ask=ask, bid_size=SIZE, ask_size=SIZE))

    # -- the broker ----------------------------------------------------------------------------------------------

    def _picked(self, step: Step) -> str | None:
        open_orders = self._broker.open_orders()
        return open_orders[step.pick % len(open_orders)] if open_orders else None

    def _fill(self, step: Step) -> None:
        key = self._picked(step)
        if key is not None:
            self._broker.execute(key, step.size if step.pick % 3 else 1_000_000, step.chance)

    def _end(self, step: Step) -> None:
        key = self._picked(step)
        if key is not None:
            self._broker.end_order(key, step.how)

    def _order_fault(self, step: Step) -> None:
        self._broker.order_faults.append((step.how, step.chance))

    def _cancel_fault(self, step: Step) -> None:
        self._broker.cancel_faults.append((step.how, step.chance))

    def _notice_fault(self, step: Step) -> None:
        self._broker.notice_faults.append((step.how, step.chance))

    def _query_fault(self, step: Step) -> None:
        for _ in range(1 + step.pick % 4):
            self._broker.query_faults.append(step.how)

    def _line(self, step: Step) -> None:
        broker, world = self._broker, self._world
        world.fire("line: down")
        broker.is_up = False
        if broker.listener is not None:
            broker.listener(BrokerDisconnect(NAME, "the line is down", world.now_ns + self._play.offset_ns))

        def up() -> None:
            broker.is_up = True
            broker.tell_busts()
            world.say("   the line is up")

        world.after(step.size * NS_PER_MS, up)

    def _hand(self, step: Step) -> None:
        side = Side.BUY if step.how == "buy" else Side.SELL
        qty = step.size
        if side is Side.SELL:
            qty = min(qty, self._world.model.theirs[step.symbol])
        if qty < 1 or not self._is_taken_over():
            return
        if not self._broker.capabilities.client_order_ids and self._is_ambiguous(step.symbol, side):
            return  # only a person could say whose it is
        self._world.fire(f"person: {step.how}")
        self._broker.trade_of_a_person(step.symbol, side, qty, step.chance)

    def _is_taken_over(self) -> bool:
        """Return whether the account was taken over, and all that was executed before that is listed."""
        broker = self._broker
        return 0 < broker.begun_ns < self._world.now_ns - broker.capabilities.visibility_lag_ns

    def _is_ambiguous(self, symbol: str, side: Side) -> bool:
        """Return whether an order of the session on this key is not known by its number, or may not be soon."""
        return True

    def _bust(self, step: Step) -> None:
        life = self._play.life
        if life is not None and self._broker.bust(step.pick, life.kernel.shared.account.has_booked):
            self._world.fire("bust")

    def _overfill(self, step: Step) -> None:
        key = self._picked(step)
        if key is not None and self._broker.books.orders[key].side is Side.BUY:
            self._world.fire("overfill")
            order = self._broker.books.orders[key]
            over = max(1, int(order.qty) // 2)  # twice the order would not be believed
            self._broker.execute(key, int(order.remaining) + over, step.chance, over=over)
            self._world.model.overfilled.add(key)

    def _wrong_notice(self, step: Step) -> None:
        ours = self._world.model.ordered  # what is told of others cannot be compared with anything
        fills = [fill for fill in self._broker.books.fills if fill.client_order_id in ours]
        if not fills or not self._broker.capabilities.client_order_ids:
            return  # of a number that contradicts itself only a person could say whose it is
        self._world.fire(f"wrong notice: {step.how}")
        fill = replace(fills[step.pick % len(fills)], execution_id=f"wrong-{step.chance}")
        wrong: dict[str, Callable[[], Fill]] = {
            "wrong symbol": lambda: replace(fill, symbol="035420"),
            "negative quantity": lambda: replace(fill, qty=Decimal(-5)),
            "huge price": lambda: replace(fill, price=Decimal(10) ** 15),
            "wrong side": lambda: replace(fill, side=Side.SELL if fill.side is Side.BUY else Side.BUY),
        }
        self._broker.tell(self._broker.as_told(wrong[step.how]()))

    # -- the machine ---------------------------------------------------------------------------------------------

    def _clock(self, step: Step) -> None:
        """Step the machine's clock; a running session measures its time, so the next one sees it."""
        self._world.fire("clock: step ahead" if step.size > 0 else "clock: step back")
        self._play.stepped_ns = step.size * NS_PER_MS

    def _crash(self, step: Step) -> None:
        play, disk = self._play, self._play.disk
        if play.life is None or disk is None:
            return
        if step.how.endswith(("write", "sync")):
            disk.arm(step.how, step.pick % 25)
            return
        self._world.fire(f"crash: {step.how}")
        if step.how == "ended in order":
            play.life.stop.request()
        else:
            disk.crash(power=step.how == "power")

    def _disk(self, step: Step) -> None:
        disk = self._play.disk
        if disk is None or self._play.life is None:
            return
        if step.how == "full":
            disk.is_full = True

            def free() -> None:
                disk.is_full = False

            self._world.after((500 + step.chance % 4_000) * NS_PER_MS, free)
        elif step.how == "slow sync":
            self._world.fire("disk: slow sync")
            disk.slow = ("", "journal", "sent", "sqlite")[step.pick % 4]
            disk.slow_until_ns = self._world.passed_ns + (1_000 + step.chance % 4_000) * NS_PER_MS
        else:
            disk.arm(step.how, step.pick % 25)

    def _old_files(self, step: Step) -> None:
        self._play.puts_back = step.how

    def _memory(self, step: Step) -> None:
        life = self._play.life
        if life is not None and life.has_begun:
            life.fail_after(step.chance % 4_000)

    # -- operators -----------------------------------------------------------------------------------------------

    def _operator(self, step: Step) -> None:
        life, who = self._play.life, {"operator": "kim", "reason": "drill"}
        if life is None or not life.has_begun:
            return
        ident = f"capital-{step.chance}"
        commands: dict[str, Callable[[], Command]] = {
            "stop and sell": lambda: Stop(**who),
            "stop": lambda: Stop(**who, liquidate=False),
            "release": lambda: Release(**who),
            "reconcile": lambda: Reconcile(**who),
            "flatten": lambda: Flatten(**who, symbol=step.symbol),
            "deposit": lambda: Deposit(**who, id=ident, amount=Decimal(step.size * 100_000)),
            "withdraw": lambda: Withdraw(**who, id=ident, amount=Decimal(step.size * 100_000)),
            "adopt": lambda: Adopt(**who, id=ident, symbol=step.symbol, strategy=step.who),
        }
        self._world.fire(f"operator: {step.how}")
        life.commands.append(commands[step.how]())
