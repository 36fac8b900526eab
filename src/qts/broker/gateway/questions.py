"""The answers to questions as a record of a session keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from qts import errors
from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Holdings
from qts.errors import BrokerUnavailable, QtsError
from qts.execution.contracts import Fill
from qts.ledger.contracts import Charges

ORDERS: Final = "orders"
FILLS: Final = "fills_since"
POSITIONS: Final = "positions"
BALANCE: Final = "balance"
HOLDINGS: Final = "holdings"
CHARGES: Final = "charges"
CONNECT: Final = "connect"
_GIVEN_UP: Final = "given_up"
_TYPES: Final[Mapping[str, Any]] = {
    ORDERS: Sequence[BrokerOrder],
    FILLS: Sequence[Fill],
    POSITIONS: Mapping[str, BrokerPosition],
    BALANCE: Balance | None,
    HOLDINGS: Holdings,
    CHARGES: Charges | None,
    CONNECT: type(None),
}


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a question: the ``answer``, or the type of the error, "" for none, and ``why`` in words."""

    answer: Any = None
    failed: str = ""
    why: str = ""

    def result(self) -> Any:
        """Return the answer, or raise what was raised where it was asked, TimeoutError where it was given up.

        Raises BrokerUnavailable in the place of an error that is none of ours.
        """
        if self.failed == _GIVEN_UP:
            raise TimeoutError(self.why)
        if self.failed:
            kind = getattr(errors, self.failed, None)
            raise (kind if isinstance(kind, type) and issubclass(kind, QtsError) else BrokerUnavailable)(self.why)
        return self.answer


GIVEN_UP: Final = Answered(failed=_GIVEN_UP)
"""No one waits for the answer any more."""


def failure_of(error: Exception) -> Answered:
    """Return how a question failed."""
    return Answered(failed=type(error).__name__, why=str(error))


def decode_answered(key: str, told: str) -> Answered:
    """Return what became of the question ``key`` from its text. Raises msgspec.DecodeError, KeyError."""
    name = key.partition(":")[0]
    found = msgspec.json.decode(told, type=Answered)
    if found.failed:
        return found
    return Answered(msgspec.convert(found.answer, _TYPES[name]))
