"""What was executed at a broker, counted from the events on its side alone; shares no code with what it checks.

Whole shares and whole won, so plain integers. A test tells it what reaches the broker and what happens there, each
once; it knows nothing of answers, notices, lists, states or ids of executions.
"""

from __future__ import annotations

from collections import Counter


class Recount:
    """One account in one symbol: orders by the id that the session gave them, the holding and the money."""

    def __init__(self, cash: int) -> None:
        self.cash = cash
        self.held = 0
        self.calls: Counter[str] = Counter()
        """How often each order came over the wire, arrived or not."""
        self.ordered: dict[str, int] = {}
        """Quantities of orders that arrived, sales below zero."""
        self.filled: Counter[str] = Counter()
        self.over: set[str] = set()
        """Orders of which nothing can be executed any more."""

    def called(self, key: str) -> None:
        """Count an order that was given to the line."""
        self.calls[key] += 1

    def arrived(self, key: str, qty: int, *, is_sale: bool) -> None:
        """Take down an order that the broker works. One that came before is the mistake that is looked for."""
        assert key not in self.ordered, f"order {key} arrived twice"
        self.ordered[key] = -qty if is_sale else qty

    def executed(self, key: str, qty: int, price: int) -> None:
        """Book an execution."""
        sign = 1 if self.ordered[key] > 0 else -1
        self.filled[key] += qty
        self.held += sign * qty
        self.cash -= sign * qty * price
        if self.filled[key] >= abs(self.ordered[key]):
            self.over.add(key)

    def ended(self, key: str) -> None:
        """Take down that what is left of an order was taken out."""
        self.over.add(key)

    def fates(self, key: str) -> set[str]:
        """Return the states in which a session may have the order at the end; late: a fill after its end."""
        if key not in self.ordered:
            return {"NOT_SENT", "REJECTED"}
        if self.filled[key] >= abs(self.ordered[key]):
            return {"FILLED", "FILLED_LATE"}
        return {"CANCELLED", "REJECTED", "FILLED_LATE"} if self.filled[key] else {"CANCELLED", "REJECTED"}
