"""Timers as a strategy sets them with ``ctx.at`` and ``ctx.every``, checked where they are set."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from qts.clock import NS_PER_S
from qts.errors import ContractError

MAX_TIMERS: Final = 1_000
"""Timers of one strategy."""
MAX_NAME: Final = 60
"""Characters of a timer's name."""

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}
_DAY_S: Final = 86_400


class Timer(msgspec.Struct, frozen=True):
    """A timer by its ``name``: daily at ``minute`` of the market's local day, or every ``every_ns``.

    Exactly one of the two is given; ``minute`` counts from midnight.
    """

    name: str
    minute: int | None = None
    every_ns: int | None = None


def timer_at(when: object, name: object) -> Timer:
    """Return the timer that is due on every session day at ``when``, such as "15:10" on the market's clock.

    Raises ContractError for another text, and for a name that is no text of 1 to 60 printable characters.
    """
    found = _CLOCK.fullmatch(when) if isinstance(when, str) else None
    if found is None:
        raise ContractError(f'at: the time must be a text from "00:00" to "23:59", got {when!r}')
    return Timer(_checked(name, "at"), minute=int(found[1]) * 60 + int(found[2]))


def timer_every(span: object, name: object) -> Timer:
    """Return the timer that is due every ``span``: "30s", "5m" or "2h", from 1 second to 24 hours.

    Raises ContractError for another text, and for a name that is no text of 1 to 60 printable characters.
    """
    found = _SPAN.fullmatch(span) if isinstance(span, str) else None
    seconds = 0 if found is None else int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= _DAY_S:
        raise ContractError(f'every: the interval must be a text like "30s", "5m" or "2h", up to 24h, got {span!r}')
    return Timer(_checked(name, "every"), every_ns=seconds * NS_PER_S)


def _checked(name: object, method: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ContractError(
            f"{method}: the name must be a printable text of 1 to {MAX_NAME} characters, got {name!r}"
        )
    return str(name)
