"""Only a strategy: show it prices by hand and see what it would like, without broker, risk or state."""

from datetime import UTC, datetime
from decimal import Decimal

from qts.clock import from_ns, to_ns
from qts.market.contracts import Quote
from qts.state import OperatingState
from qts.strategy.contracts import Side
from qts.strategy.two_ema import TwoEma

PRICES = [100, 99, 98, 97, 96, 95, 96, 98, 100, 103, 105, 106, 105, 102, 99, 96, 95, 94]


class Hand:
    """The least a strategy asks for; here every wish is filled at once."""

    state, budget, held, ns = OperatingState.BALANCED, Decimal(1_000), Decimal(0), 0

    now = property(lambda self: from_ns(self.ns))

    def holding(self, symbol):
        return self.held

    def average_cost(self, symbol):
        return None

    def working(self, symbol):
        return False


def main():
    strategy, hand = TwoEma(fast=2, slow=5, every_s=0), Hand()
    for minute, price in enumerate(PRICES):
        hand.ns = to_ns(datetime(2026, 1, 23, 1, minute, tzinfo=UTC))
        for wish in strategy.on_quote(hand, Quote("ABC", hand.ns, last=Decimal(price))):
            said = f"{wish.side.value}, confidence {wish.confidence:.2f}, {wish.reason}"
            print(f"{hand.now:%H:%M} at {price}: {said}")
            hand.held = Decimal(1) if wish.side is Side.BUY else Decimal(0)


if __name__ == "__main__":
    main()
