"""The terms of an order that a strategy may name."""

from __future__ import annotations

from enum import Enum


class TimeInForce(str, Enum):
    """The time that an order works.

    DAY: the session. IOC and FOK: immediately, in part or wholly. GTC: until cancelled. OPEN and CLOSE: in the
    opening or closing auction alone.
    """

    DAY = "DAY"
    IOC = "IOC"
    FOK = "FOK"
    GTC = "GTC"
    OPEN = "OPEN"
    CLOSE = "CLOSE"
