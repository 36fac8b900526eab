"""Every exception that QTS raises, grouped by what the caller does about it.

    QtsError
    ├── InputError            unusable input: fix the value named in the message     (exit code 2)
    │   ├── ConfigError       a configuration file, key or value
    │   ├── DataError         an input file that cannot be used at all
    │   └── ContractError     a value that breaks a contract (event, order, money)
    ├── StateError            the call does not fit the present state             (exit code 2)
    │   └── UnfinishedRunError
    ├── MissingExtraError     install the named extra                             (exit code 2)
    ├── StorageError          the store cannot keep its promise: stop             (exit code 3)
    │   ├── HalfDoneError     an effect was begun and not finished: stop, resume
    │   ├── Unavailable       a server that follows does not answer: it is asked again, nothing is lost
    │   ├── Gap               a server lacks batches before the one it was sent: send it what it lacks
    │   ├── Fenced            another process writes this run or account: stop writing
    │   └── BatchRefused      a server cannot hold what it was sent: look at the row that the message names
    ├── CacheStaleDataError   what a cache holds is too old, or from the future: ask its source
    ├── BrokerUnavailable     the broker does not answer: ask again later           (exit code 3)
    ├── DefectError           a defect of QTS: look into the log, resume             (exit code 3)
    └── InvariantBreach       what must always hold does not: stop and look       (exit code 4)

Ordinary outcomes (an order refused, a row skipped, a fill seen twice) are values, not exceptions.
"""

from __future__ import annotations


class QtsError(Exception):
    """Base of every error QTS raises on purpose. ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(QtsError):
    """Unusable input of the user; the message names the place, the value and what is allowed."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration file, key or value is wrong."""


class DataError(InputError):
    """An input file cannot be used at all (missing, empty, another format, truncated)."""


class ContractError(InputError):
    """A value breaks a contract: wrong type, not finite, off the grid, an attribute that may not change."""


class StateError(QtsError):
    """The call does not fit the object's state."""

    exit_code = 2


class UnfinishedRunError(StateError):
    """The data directory holds a run that has not finished, and resuming it was not asked for."""


class MissingExtraError(QtsError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    exit_code = 2

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the optional extra {extra!r} of qts-runtime: in its source directory run "
            f"pip install -e '.[{extra}]'"
        )


class StorageError(QtsError):
    """The store cannot keep its promise (disk full, damaged file, foreign schema)."""

    exit_code = 3


class HalfDoneError(StorageError):
    """An effect was begun and not finished: memory is unreliable, the store is as it was before.

    It is not retried in the same process: the session ends, and resuming it handles the event again.
    """


class Unavailable(StorageError):
    """A server does not answer, or not in time; whether it did what it was asked for is unknown until asked."""


class Gap(StorageError):
    """A server has not applied the batches before the first one it was sent; nothing of them was written.

    ``expected`` is the number it needs next, ``got`` the one it was sent.
    """

    def __init__(self, run_id: str, expected: int, got: int) -> None:
        super().__init__(f"run {run_id}: batch {got} was sent, and the server needs {expected} next")
        self.expected = expected
        self.got = got


class Fenced(StorageError):
    """Another process has taken over this run or account on the server; nothing of this one is written there."""


class BatchRefused(StorageError):
    """A server refuses a row for what it holds, and would refuse it again; the message names table and row."""


class CacheStaleDataError(QtsError):
    """A cache holds a value that is too old to be used, or from the future, by a clock that is wrong.

    ``age_ms``: how old it is, in ms; below 0 from the future.
    """

    exit_code = 3

    def __init__(self, what: str, age_ms: int, limit_ms: int) -> None:
        future = f"{-age_ms:,} ms in the future, by the clock of this machine"
        found = f"{age_ms:,} ms old" if age_ms >= 0 else future
        super().__init__(f"the cache has {what} that is {found}; it may be {limit_ms:,} ms old at most")
        self.age_ms = age_ms


class BrokerUnavailable(QtsError):
    """The broker gives no whole answer now (connection down, timeout, error of its own); its books stay unknown."""

    exit_code = 3


class DefectError(QtsError):
    """An unexpected error ended a session; the store is intact, the traceback is in the session's log."""

    exit_code = 3


class InvariantBreach(QtsError):
    """A property that must always hold does not; trading stops, and the message names it with its numbers."""

    exit_code = 4
