"""Takes from a strategy what it asks for in one call, and no more than a call may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qts.runtime.strategies.process_protocol import ERRORS_BEFORE_HALT
from qts.strategy.contracts import Intent, check_intent
from qts.strategy.loading import RAISED_IN_CALL
from qts.strategy.user_code import Run, each_of


class TooManyIntents(Exception):
    """A strategy that asks without end: it is halted at once, and nothing of that call counts."""


def intents_of(run: Run, said: Iterable[Intent] | None, most: int) -> Iterator[Intent]:
    """Give the intents of one call, checked; those before a failure stand, then it is raised.

    Raises TooManyIntents, before any of them is given, when there are more than ``most``, ContractError for what is
    no intent, and whatever the strategy raises on the way.
    """
    found: list[Intent] = []
    failure: BaseException | None = None
    try:
        for one in each_of(run, said):
            if len(found) >= most:
                raise TooManyIntents(f"it asked for more than {most:,} intents in one call")
            found.append(check_intent(one))
    except TooManyIntents:
        raise
    except RAISED_IN_CALL as error:
        failure = error
    yield from found
    if failure is not None:
        raise failure


def in_row_after(error: BaseException, before: int) -> int:
    """Count the failures in a row when ``error`` follows ``before`` of them."""
    return ERRORS_BEFORE_HALT if isinstance(error, TooManyIntents) else before + 1
