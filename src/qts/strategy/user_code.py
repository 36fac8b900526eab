"""Runs the code of strategies where it can change no context variable and no decimal context but its own.

Every strategy has a :class:`contextvars.Context` to itself, in which its file is run, its object made and every
method called. What it or a library of it sets there (``getcontext().prec = 6``, ``setcontext``) stays in force for
its own later calls and is never seen outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from decimal import getcontext, setcontext
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakKeyDictionary

from qts.money import RATIO_DIGITS, own_context

T = TypeVar("T")


class Run(Protocol):
    """A callable that calls a function of the user's with its arguments; any thread, one call at a time."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
        """Call ``function`` in the decimal context of its strategy. What it raises passes through."""
        ...


_LOADED_IN: Final[WeakKeyDictionary[type, Context]] = WeakKeyDictionary()
_END: Final = object()


def load_apart(load: Callable[..., T], *arguments: Any) -> T:
    """Make a strategy by ``load``; :func:`runner_for` goes on with the decimal context that this has left."""
    context = copy_context()
    context.run(setcontext, own_context(RATIO_DIGITS))
    made = context.run(load, *arguments)
    _LOADED_IN[type(made)] = context
    return made


def runner_for(strategy: object) -> Run:
    """Return what calls the code of ``strategy``: 28 digits and half-even rounding, unless its file has set others.

    One call at a time, and none from within another; any thread.
    """
    loaded_in = _LOADED_IN.get(type(strategy))
    decimals = own_context(RATIO_DIGITS) if loaded_in is None else loaded_in.run(getcontext).copy()
    context = copy_context()
    context.run(setcontext, decimals)
    return context.run


def call_directly(function: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
    """Call ``function`` as it is: the :class:`Run` of code that belongs to no strategy."""
    return function(*arguments, **named)


def each_of(run: Run, answer: Iterable[T] | None) -> Iterator[T]:
    """Yield every intent of a method's answer, a generator's steps run as its method was; nothing for None."""
    if not answer:  # a method without a return wants nothing
        return
    if type(answer) is tuple or type(answer) is list:
        yield from answer
        return
    steps = run(iter, answer)
    try:
        while (one := run(next, steps, _END)) is not _END:
            yield one
    finally:
        # One that is left inside `with localcontext()` puts its own context back in force when it is closed.
        close = getattr(steps, "close", None)
        if close is not None:
            run(close)
