"""What really happened at the broker, counted in whole numbers from its side alone; shares no code with the
package.

Money in millionths of a won. It knows nothing of answers, notices, lists or states: it is told of each order that
came over the wire and of each execution, once, and says what a session may believe at most and must believe at
last.
"""

from __future__ import annotations

from collections import Counter

MICRO = 1_000_000


class Breach(AssertionError):
    """What must always hold does not."""


class Model:
    """One account; quantities in shares, sales below zero."""

    def __init__(self, cash: int) -> None:
        self.cash = cash
        self.ours: Counter[str] = Counter()
        """By symbol: what orders of the session have bought less what they have sold."""
        self.theirs: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.ordered: dict[str, tuple[str, int]] = {}
        self.filled: Counter[str] = Counter()
        self.taken_back: Counter[str] = Counter()
        self.over: set[str] = set()
        self.overfilled: set[str] = set()
        self.moved: dict[str, int] = {}
        """Capital that operators moved, by the id of the command; it does not touch the broker's cash."""

    def called(self, key: str) -> None:
        """Count an order that was given to the line."""
        self.calls[key] += 1
        if self.calls[key] > 1:
            raise Breach(f"order {key} was sent {self.calls[key]} times")

    def arrived(self, key: str, symbol: str, qty: int) -> None:
        """Take down an order that the broker works."""
        if key in self.ordered:
            raise Breach(f"order {key} arrived twice")
        self.ordered[key] = symbol, qty

    def executed(self, key: str, symbol: str, qty: int, price: int, charges: int) -> None:
        """Book an execution of an order of the session; ``charges`` in millionths."""
        sign = 1 if self.ordered[key][1] > 0 else -1
        self.filled[key] += qty
        if self.filled[key] >= abs(self.ordered[key][1]):
            self.over.add(key)
        self.ours[symbol] += sign * qty
        self.cash -= sign * qty * price * MICRO + charges
        if self.ours[symbol] < 0:
            raise Breach(f"{-self.ours[symbol]} shares of {symbol} were sold that the session did not buy")

    def hand(self, symbol: str, qty: int, price: int) -> None:
        """Book a trade of a person; sales below zero."""
        self.theirs[symbol] += qty
        self.cash -= qty * price * MICRO

    def bust(self, key: str | None, symbol: str, qty: int, price: int, charges: int) -> None:
        """Take an execution back; ``qty`` as it was booked, ``key`` None for a trade of a person."""
        self.cash += qty * price * MICRO + charges
        if key is None:
            self.theirs[symbol] -= qty
        else:
            self.ours[symbol] -= qty
            self.taken_back[key] += abs(qty)

    def held(self) -> dict[str, int]:
        """Return what the account holds, flat symbols left out."""
        both = Counter(self.ours)
        both.update(self.theirs)
        return {symbol: qty for symbol, qty in both.items() if qty}

    def fates(self, key: str) -> set[str]:
        """Return the states in which the session may have an order at the end."""
        if key not in self.ordered:
            return {"NOT_SENT", "REJECTED"}
        if self.filled[key] >= abs(self.ordered[key][1]):
            return {"FILLED", "FILLED_LATE"}
        ended = {"CANCELLED", "REJECTED", "FILLED_LATE", "EXPIRED"}
        return ended if self.filled[key] else ended | {"NOT_SENT"}
