"""Reads the intents that a strategy returns from one call, up to the limit of a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qts.errors import ContractError
from qts.runtime.strategies.process_protocol import ERRORS_BEFORE_HALT
from qts.strategy.contracts import AnyIntent, Intent, check_intent
from qts.strategy.loading import RAISED_IN_CALL
from qts.strategy.targets import Cancel, Target
from qts.strategy.user_code import Run, each_of


class TooManyIntents(Exception):
    """One call returned more intents than allowed: the strategy is halted at once, the call has no effect."""


def intents_of(run: Run, returned: Iterable[AnyIntent] | None, most: int) -> Iterator[AnyIntent]:
    """Yield the checked intents of one call; those before a failure are yielded, then the failure is raised.

    Raises TooManyIntents, before the first is yielded, when there are more than ``most``, ContractError for a value
    that is no intent, and what the strategy itself raises.
    """
    found: list[AnyIntent] = []
    failure: BaseException | None = None
    try:
        if isinstance(returned, Intent | Target | Cancel | str):
            raise ContractError(
                f"yield what is wanted, or return a list of it; it returned one {type(returned).__name__} alone"
            )
        for one in each_of(run, returned):
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
    """Return the number of failures in a row when ``error`` follows ``before`` of them."""
    return ERRORS_BEFORE_HALT if isinstance(error, TooManyIntents) else before + 1
