"""The methods of a strategy that are called: their arguments, and what in a class would never be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final

from qts.strategy.base_class import has_hook

METHODS: Final[dict[str, tuple[str, ...]]] = {
    "on_start": ("ctx",),
    "on_quote": ("ctx", "quote"),
    "on_bar": ("ctx", "bar"),
    "on_fill": ("ctx", "fill"),
}
"""The methods of the contract, and their positional arguments."""
OPTIONAL_METHODS: Final[dict[str, tuple[str, ...]]] = {
    "on_trade": ("ctx", "tick"),
    "on_bars": ("ctx", "bars"),
    "on_timer": ("ctx", "name"),
    "on_order": ("ctx", "news"),
}
"""The methods that a class may leave out (:class:`~qts.strategy.contracts.OptionalHooks`)."""
_WANTS_NOTHING: Final = ("on_start", "on_fill", "on_order")
"""The methods that return no intents."""
_ALIKE: Final = 0.8
"""Names that share so much are taken for one and the same, misspelt."""


def method_problems(candidate: object) -> list[str]:
    """Return what is wrong with the methods of a strategy, in sentences: arguments, spelling, a ``yield``."""
    problems = []
    for name, arguments in (METHODS | OPTIONAL_METHODS).items():
        call = _call(name)
        method = getattr(candidate, name, None)
        if method is None and name in OPTIONAL_METHODS:
            continue
        if not callable(method):
            missing = "is no method" if name in OPTIONAL_METHODS else "is missing"
            problems.append(f"the method {call} {missing}")
        elif inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            problems.append(f"{call} must be a plain method, not async")
        elif not _accepts(method, len(arguments)):
            problems.append(f"{name} must accept {call}, it is {name}{inspect.signature(method)}")
        elif name in _WANTS_NOTHING and inspect.isgeneratorfunction(method):
            problems.append(f"{call} returns no intents, and with a yield in it nothing of it would run")
    return [*problems, *_misspelt(candidate)]


def undeclared_problems(candidate: object, *, trades: bool, bars: bool) -> list[str]:
    """Return the methods that are not called because the class does not declare what they are called with."""
    problems = []
    if not trades and has_hook(candidate, "on_trade"):
        problems.append(f'{_call("on_trade")} is not called without data = ("trades",) in the class')
    if not bars and has_hook(candidate, "on_bars"):
        problems.append(f'{_call("on_bars")} is not called without bars in the class, such as bars = {{"1d": 250}}')
    return problems


def _misspelt(candidate: object) -> Iterator[str]:
    """Yield a sentence for each method whose name is almost that of a hook, which would never be called."""
    hooks = METHODS | OPTIONAL_METHODS
    for name in dir(type(candidate)):
        if name.startswith("_") or name in hooks or not inspect.isroutine(getattr(type(candidate), name, None)):
            continue
        if not _plain(name).startswith("on"):
            continue
        alike, hook = max((SequenceMatcher(None, _plain(name), _plain(hook)).ratio(), hook) for hook in hooks)
        if alike >= _ALIKE:
            yield f"{name} is never called; is {_call(hook)} meant?"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _call(name: str) -> str:
    return f"{name}(self, {', '.join((METHODS | OPTIONAL_METHODS)[name])})"


def _accepts(method: object, count: int) -> bool:
    assert callable(method)
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True
