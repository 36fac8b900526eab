"""Declarations of a strategy's class about the data that it is shown."""

from __future__ import annotations

from typing import Final

from qts.errors import ContractError
from qts.market.series.wanted import WantedBars, wanted_bars

TRADES: Final = "trades"
_KINDS: Final = (TRADES,)


def declared_data(cls: type) -> tuple[str, ...]:
    """Return the kinds of values that ``cls`` asks for with ``data = ("trades",)``, beside quotes and bars.

    An attribute that is no tuple or list of texts is one of the strategy's own. Raises ContractError for an unknown
    kind, and for one that is not in a tuple or a list.
    """
    named = getattr(cls, "data", ())
    if isinstance(named, str) and named in _KINDS:
        raise ContractError(f"data must be a tuple: write data = ({named!r},)".replace("'", '"'))
    if not isinstance(named, tuple | list) or not all(isinstance(name, str) for name in named):
        return ()
    for name in named:
        if name not in _KINDS:
            raise ContractError(f"data may name {', '.join(map(repr, _KINDS))}, got {name!r}")
    return tuple(named)


def wants_trades(strategy: object) -> bool:
    """Return whether the class of ``strategy`` asks for trades. Raises ContractError like :func:`declared_data`."""
    return TRADES in declared_data(type(strategy))


def declared_bars(strategy: object) -> tuple[WantedBars, ...]:
    """Return the bars that the class of ``strategy`` declares with ``bars = {"5m": 200}``; empty when it does not.

    Of the symbols that the strategy trades. Raises ContractError for a declaration that cannot be used.
    """
    cls = type(strategy)
    declared = getattr(cls, "bars", None)
    return (
        () if declared is None else wanted_bars(declared, getattr(strategy, "symbols", ()), f"{cls.__name__}.bars")
    )
