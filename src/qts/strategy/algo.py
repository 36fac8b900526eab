"""The algorithms by which an order is executed in parts; a strategy names one in its intent or target."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from qts.errors import ContractError
from qts.market.series.intervals import DAY_NS, parse_interval
from qts.strategy.checked_fields import checked_amount

MAX_SLICES: Final = 1_000
"""The most parts that an algorithm may ask for; the setting ``execution.max_slices`` is the limit in force."""


class AlgoKind(str, Enum):
    """The ways to execute an order.

    SINGLE: as one order. TWAP: equal parts at equal distances in time. VWAP: parts as large as the market's volume
    of each part of the time. ICEBERG: one part after the other, each shown alone.
    """

    SINGLE = "SINGLE"
    TWAP = "TWAP"
    VWAP = "VWAP"
    ICEBERG = "ICEBERG"


class Algo(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An algorithm with its numbers, made by :meth:`twap`, :meth:`vwap` or :meth:`iceberg`.

    ``over``: the length of time, such as "30m", below a day; "" for an iceberg. ``slices``: the number of parts,
    None leaves it to the configuration. ``shown``: the quantity that an iceberg shows, in shares or contracts.
    ``profile``: shares of the volume by part, for a VWAP of which they are known; empty: they are measured. Raises
    :class:`~qts.errors.ContractError` for numbers that the kind does not take or that cannot be.
    """

    kind: AlgoKind
    over: str = ""
    slices: int | None = None
    shown: Decimal | int | None = None
    profile: tuple[Decimal, ...] = ()

    def __post_init__(self) -> None:
        kind = self.kind
        timed = kind in (AlgoKind.TWAP, AlgoKind.VWAP)
        if timed:
            interval = parse_interval(self.over)
            if not 0 < interval.ns < DAY_NS:
                raise ContractError(
                    f"Algo.over must be a length of time below a day such as 30m, got {self.over!r}"
                )
        elif self.over:
            raise ContractError(f"{kind.value} takes no length of time, got over={self.over!r}")
        if self.slices is not None and not (
            timed and isinstance(self.slices, int) and 1 <= self.slices <= MAX_SLICES
        ):
            raise ContractError(
                f"Algo.slices is a whole number of 1 to {MAX_SLICES} for a TWAP or VWAP, got {self.slices!r}"
            )
        if (self.shown is not None) is not (kind is AlgoKind.ICEBERG):
            raise ContractError(f"Algo.shown is what an ICEBERG shows, got {self.shown!r} for {kind.value}")
        if self.shown is not None:
            force_setattr(self, "shown", checked_amount("Algo.shown", self.shown))
        self._check_profile()

    def _check_profile(self) -> None:
        if not self.profile:
            return
        if self.kind is not AlgoKind.VWAP:
            raise ContractError(f"a profile belongs to a VWAP, got one for {self.kind.value}")
        if self.slices is not None and self.slices != len(self.profile):
            raise ContractError(f"a profile of {len(self.profile)} parts and slices={self.slices} contradict")
        if len(self.profile) > MAX_SLICES:
            raise ContractError(f"a profile has at most {MAX_SLICES} parts, got {len(self.profile)}")
        if not all(isinstance(share, Decimal) and share.is_finite() and share >= 0 for share in self.profile):
            raise ContractError("the shares of a profile are Decimals of 0 or more")
        if not any(share > 0 for share in self.profile):
            raise ContractError("a profile without any volume cannot be followed")

    @classmethod
    def twap(cls, over: str, slices: int | None = None) -> Algo:
        """Return equal parts over a length of time, such as "30m"."""
        return cls(AlgoKind.TWAP, over, slices)

    @classmethod
    def vwap(cls, over: str, slices: int | None = None, profile: tuple[Decimal, ...] = ()) -> Algo:
        """Return parts over a length of time, each as large as its share of the market's volume."""
        return cls(AlgoKind.VWAP, over, slices, None, profile)

    @classmethod
    def iceberg(cls, shown: Decimal | int) -> Algo:
        """Return parts of ``shown``, in shares or contracts, one after the other."""
        return cls(AlgoKind.ICEBERG, shown=shown)

    @property
    def over_ns(self) -> int:
        """Return the length of time in ns; 0 for a kind without one."""
        return parse_interval(self.over).ns if self.over else 0


def checked_algo(where: str, value: object, *, in_parts: bool) -> Algo:
    """Return the algorithm; ``in_parts``: the other terms of the order let it be executed in parts.

    Raises ContractError for anything else, and for an algorithm with terms that it cannot keep.
    """
    if not isinstance(value, Algo):
        raise ContractError(f"{where} must be Algo.twap, Algo.vwap or Algo.iceberg, got {value!r}")
    if value.kind is not AlgoKind.SINGLE and not in_parts:
        raise ContractError(f"{where} is for orders of the time in force DAY without a trigger")
    return value
