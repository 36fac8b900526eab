"""The optional base class of a strategy: hooks that do nothing, and a constructor that takes its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote, Tick
from qts.strategy.contracts import AnyIntent, Context, FillView
from qts.strategy.order_news import OrderNews
from qts.strategy.params import params_of, set_params, signature_with_params, unknown_param


class Strategy:
    """The base of a strategy that writes only the hooks it needs.

    ``name`` is the name of the class unless the class sets another; ``pool`` is SWING; ``symbols`` is empty: every
    symbol of the feed. Parameters declared with :func:`~qts.strategy.params.param` are keyword arguments of the
    constructor, and set before an own ``__init__`` runs; that need neither take them nor call this one.

    Making one raises TypeError for a keyword that is no parameter and InputError for a value that is not allowed.
    """

    name: str = ""
    pool: Pool = Pool.SWING
    symbols: Sequence[str] = ()
    __signature__: ClassVar[inspect.Signature]
    _own_signature: ClassVar[inspect.Signature | None] = None
    """The signature of the constructor that a subclass writes; None: it writes none."""

    def __init__(self, **params: Any) -> None:
        _set_all(self, params)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "name" not in vars(cls):
            cls.name = cls.__name__
        own: Callable[..., None] | None = vars(cls).get("__init__")
        if own is not None:
            cls._own_signature = inspect.signature(own)
            cls.__init__ = _with_params(own, cls._own_signature)  # type: ignore[method-assign]
        cls.__signature__ = signature_with_params(cls, cls._own_signature)

    def on_start(self, ctx: Context) -> None:
        """Do nothing before the first value."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        """Return no intents."""
        return ()

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[AnyIntent]:
        """Return no intents."""
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Do nothing after a fill."""

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        """Do nothing with what becomes of an order."""

    def on_trade(self, ctx: Context, tick: Tick) -> Iterable[AnyIntent]:
        """Return no intents."""
        return ()

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Iterable[AnyIntent]:
        """Return no intents."""
        return ()

    def on_timer(self, ctx: Context, name: str) -> Iterable[AnyIntent]:
        """Return no intents."""
        return ()


def has_hook(strategy: object, hook: str) -> bool:
    """Return whether ``strategy`` has a ``hook`` of its own; that of the base class need not be called."""
    mine = getattr(strategy, hook, None)
    return callable(mine) and getattr(mine, "__func__", None) is not getattr(Strategy, hook, None)


def _with_params(own: Callable[..., None], signature: inspect.Signature) -> Callable[..., None]:
    """Return a constructor that sets the parameters, then calls ``own`` with the arguments that it takes itself."""
    takes_all = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())

    @wraps(own)
    def __init__(self: Strategy, *arguments: Any, **given: Any) -> None:
        taken = {name for name in given if name in signature.parameters}
        _set_all(self, {name: value for name, value in given.items() if name not in taken}, strict=not takes_all)
        own(self, *arguments, **(given if takes_all else {name: given[name] for name in taken}))

    return __init__


def _set_all(strategy: Strategy, values: Mapping[str, Any], *, strict: bool = True) -> None:
    """Set the parameters among ``values``; ``strict``: raise TypeError for what is none."""
    declared = params_of(type(strategy))
    for name in values:
        if strict and name not in declared:
            raise TypeError(unknown_param(type(strategy).__name__, name, declared))
    set_params(strategy, {name: value for name, value in values.items() if name in declared})
