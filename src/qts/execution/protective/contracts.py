"""Requests that a holding be ended, by whom they are made, and what is done about them next."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import msgspec

from qts.execution.contracts import Order
from qts.strategy.contracts import Side


class Origin(str, Enum):
    """The one who requires an exit, the strongest first: of requests for one quantity it gives the reason.

    ESCAPE: an execution that has to be given up. OPERATOR: a stop or a flattening. HALTED: a strategy that was
    halted. POOL: the engine of a pool that is inactive. LEVEL: a stop, take or trail of a position. SENT_BEFORE: an
    order that was sent before a restart and that no checkpoint tells of.
    """

    ESCAPE = "ESCAPE"
    OPERATOR = "OPERATOR"
    HALTED = "HALTED"
    POOL = "POOL"
    LEVEL = "LEVEL"
    SENT_BEFORE = "SENT_BEFORE"

    @property
    def strength(self) -> int:
        """Return its place, 0 for the strongest."""
        return _STRENGTHS[self]


_STRENGTHS = {origin: place for place, origin in enumerate(Origin)}


class ExitRequest(msgspec.Struct):
    """A request to end a holding, or a part of it; quantities in shares or contracts.

    ``left``: what is left of a part, below 0 where the holding is short and so much is not bought back yet; None
    for the whole, which also ends what would add to it. ``is_begun``: it is on disk, so orders may leave.
    ``why``: what kept the last attempt from sending an order, in words; "" for nothing.
    """

    origin: Origin
    reason: str
    left: Decimal | None = None
    is_begun: bool = True
    why: str = ""

    @property
    def is_whole(self) -> bool:
        """Return whether it is one for the whole holding, however large that becomes."""
        return self.left is None

    @property
    def is_measured(self) -> bool:
        """Return whether all of the holding is cancelled first and the broker's books are asked after each order.

        That is an escape: it sends nothing before they have answered, and is over only when they show it.
        """
        return self.origin is Origin.ESCAPE


class Standing(msgspec.Struct, frozen=True):
    """The facts of a holding at the moment of a decision; quantities in shares or contracts.

    ``qty`` is below 0 where it is short. ``orders``: the open orders of its strategy in the symbol. ``left_there``:
    what is at the broker and not being sold, where others have sold some of it; None: all of it is there.
    ``must_compare``: the broker has rejected the last order, and its books have not been compared since.
    ``is_measured``: they were compared since the last order ended.
    """

    qty: Decimal
    orders: tuple[Order, ...]
    left_there: Decimal | None = None
    must_compare: bool = False
    is_measured: bool = True


class Waits(Enum):
    """The reason why no order of an exit leaves now, in words. NOTHING: one does, or the exit is over."""

    NOTHING = ""
    ORDER = "its order works"
    CANCELS = "orders are being cancelled"
    BOOKS = "the broker's books have to show the shares first"
    THERE = "others have sold shares that strategies hold"


class Step(msgspec.Struct, frozen=True):
    """The next step of the exits of one holding.

    ``request``: the one that is carried out. ``cancels``: orders to take out first. ``qty``: what the order of
    ``side`` that is sent now is for; 0: none is. ``is_all``: it is for everything, however much that is when it is
    decided. ``asks``: the broker's books are to be compared. ``is_over``: nothing is left of ``request``.
    """

    request: ExitRequest
    cancels: tuple[Order, ...]
    side: Side
    qty: Decimal
    is_all: bool = False
    asks: bool = False
    is_over: bool = False
    waits: Waits = Waits.NOTHING
