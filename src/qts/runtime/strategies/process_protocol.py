"""The messages between the host of strategies and the worker process that runs one of them.

Plain structs, encoded as msgpack: amounts as text, never as floats. A strategy's memory travels as bytes, because
the loop only keeps it and need not decode it.
"""

from __future__ import annotations

import os
import traceback
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from qts.market.contracts import Bar
from qts.runtime.strategies.plots import PlotPoint
from qts.state.contracts import OperatingState
from qts.strategy.contracts import FillView, Intent
from qts.strategy.loading import StrategySpec, fingerprint_of
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Cancel, Target
from qts.strategy.timer import Timer

TRACE_LIMIT: Final = 8_000
ERRORS_BEFORE_HALT: Final = 3
"""A strategy that fails this often in a row is halted: its exits are then the runtime's."""


def fault_text(error: BaseException) -> str:
    """Return type and text of ``error`` in characters that every file can hold; its ``__str__`` may fail too.

    Where Python's own text says little of what a strategy should do instead, that is added.
    """
    try:
        text = f"{type(error).__name__}: {error}{_advice(error)}"
    except Exception:  # noqa: BLE001 - edge: the exception is the user's own
        text = f"{type(error).__name__}, without a message"
    return text.encode("utf-8", "replace").decode()


def _advice(error: BaseException) -> str:
    """Return what to do about an error of Decimals beside floats; "" for any other."""
    if isinstance(error, InvalidOperation):
        return (
            " (a Decimal was computed with or compared with what is no number; an indicator is NaN until it is "
            "ready: ask its ready first)"
        )
    if isinstance(error, TypeError) and "decimal.Decimal" in (text := str(error)) and "'float'" in text:
        return " (prices are Decimals: write a factor as Decimal('1.01'), or compute with float(bar.close))"
    return ""


def trace_of(error: BaseException) -> str:
    """Return the traceback of ``error``, its last :data:`TRACE_LIMIT` characters; "" if it cannot be formatted."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - edge: the exception is the user's own
        return ""
    return text[-TRACE_LIMIT:].encode("utf-8", "replace").decode()


class StrategySource(msgspec.Struct, frozen=True):
    """The place where a worker finds the class of a strategy.

    ``place`` is FILE.py:Class with the ``fingerprint`` of its files as the session has read them, or module:Class
    with the fingerprint "". ``name`` is FILE.py:Class in the bytes of the file system when they are not valid
    UTF-8, else b"". ``params`` holds the texts of the parameters that are set, by name.
    """

    place: str
    fingerprint: str = ""
    name: bytes = b""
    params: dict[str, str] = {}

    @classmethod
    def of_file(cls, spec: StrategySpec) -> StrategySource:
        """Return the source of ``spec``. Raises InputError for a file that is gone."""
        name = os.fsencode(spec.place)
        place = name.decode("utf-8", "replace")
        unusual = b"" if place == spec.place else name
        return cls(place, fingerprint_of(spec.place), unusual, dict(spec.params))

    @property
    def spec(self) -> str:
        """Return FILE.py:Class as it was given on the command line or in the configuration."""
        return os.fsdecode(self.name) if self.name else self.place


class BatchContext(msgspec.Struct, frozen=True):
    """The strategy's view of the account at the moment a batch is sent, and what it has not been told yet.

    ``fills`` are its fills, and the news of its orders, in the order in which they came. ``now_ns`` is the
    session's clock, ``budget`` the free cash of its pool in the account's currency. ``holdings`` gives quantity and
    average cost (None when flat) by symbol, ``working`` the symbols with an open order, ``errors`` the failures in
    a row so far.
    """

    now_ns: int
    state: OperatingState
    budget: Decimal
    holdings: dict[str, tuple[Decimal, Decimal | None]]
    working: tuple[str, ...]
    errors: int
    fills: tuple[FillView | OrderNews, ...] = ()


class Start(msgspec.Struct, frozen=True):
    """The first message to a worker: which strategy to make, and with what state.

    ``made`` holds the attributes that the session has given to a strategy that comes from no file, ``memory`` the
    memory of a strategy that has run before; both as ``qts.strategy.snapshot.save`` writes them, in msgpack, None
    when there is none. ``most_intents`` is the limit of intents in one call. ``bars`` are those that the strategy
    was shown and may look back on, ``tracked`` the memories of its indicators, in msgpack; None: there are none.
    ``warm_up`` are moments from before the session, which it is shown after ``on_start``.
    """

    source: StrategySource
    context: BatchContext
    made: bytes | None = None
    memory: bytes | None = None
    most_intents: int = 1_000
    bars: list[Bar] = []
    tracked: bytes | None = None
    warm_up: list[Moment] = []


class Fault(msgspec.Struct, frozen=True, tag=True):
    """A failure of the strategy: ``text`` was raised in ``callback``, the ``in_row``-th time in a row.

    ``trace`` is the traceback of a callback's first failure in this process, "" for later ones.
    """

    text: str
    in_row: int
    callback: str
    trace: str = ""


class Started(msgspec.Struct, frozen=True):
    """A worker's answer once its strategy has started.

    ``fault`` is the text of what ``on_start`` raised and ``trace`` its traceback, "" when it raised nothing.
    ``memory`` is None when the strategy's memory cannot be saved; ``unsaved`` then gives the reason.
    ``points``, ``timers`` and ``lines`` are what ``on_start`` and the warm-up have plotted, set and logged;
    ``tracked`` as in :class:`BatchResult`. ``dropped`` counts the intents of the warm-up, ``failures`` are its.
    """

    pid: int
    symbols: tuple[str, ...]
    memory: bytes | None
    fault: str = ""
    unsaved: str = ""
    trace: str = ""
    points: list[PlotPoint] = []
    timers: list[Timer] = []
    lines: list[str] = []
    tracked: bytes | None = None
    dropped: int = 0
    failures: list[Fault] = []


class BatchResult(msgspec.Struct, frozen=True):
    """A worker's answer to a batch.

    ``output`` holds intents and failures in the order in which they came, ``fills_seen`` counts the fills and news
    of the batch's context that the strategy was shown, ``errors`` the failures in a row at the end. ``memory`` is
    None when it cannot be saved; ``unsaved`` then gives the reason. ``points``, ``timers`` and ``lines`` are what
    it has plotted, set and logged.
    """

    output: list[Intent | Target | Cancel | Fault]
    fills_seen: int
    errors: int
    memory: bytes | None
    unsaved: str = ""
    points: list[PlotPoint] = []
    timers: list[Timer] = []
    lines: list[str] = []
    tracked: bytes | None = None
