"""Repeats what a session has recorded of its steps, and compares what both have stored, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_S, from_ns
from qts.db.datadir import DATABASE_NAME, STEPS_NAME
from qts.db.find_run import DEFAULT_ROOT
from qts.db.session import SessionStore
from qts.errors import InputError
from qts.market.krx import KST
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.progress import Progress
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.steps.lines import RecordedSteps, processes_of
from qts.runtime.steps.repeater import RecordOver, RepetitionFailed
from qts.runtime.wiring.kis import last_of
from qts.runtime.wiring.plans import steps_plan
from qts.runtime.wiring.stores import stored_run

_STORED_WITHIN_NS: Final = 120 * NS_PER_S
"""After this time a row is surely stored: a session makes a checkpoint a minute."""
_MOST_SHOWN: Final = 600
APPENDED: Final = (
    "decisions",
    "ledger",
    "bookings",
    "actions",
    "transfers",
    "state_history",
    "safety_history",
    "refusals",
    "quarantine",
    "equity_curve",
    "day_closes",
    "holding_closes",
)
"""Tables whose rows never change."""
CHANGING: Final = ("orders", "positions", "pools")
"""Tables whose rows stand for the present."""


class Difference(msgspec.Struct, frozen=True):
    """The first thing in which a repetition differs.

    ``step``: the number of the step, from 1; 0: there is none at its time. ``table``: where the row stands, ""
    where the session did another step than the record has. ``recorded`` and ``repeated``: the row as JSON, "" where
    it is missing. ``text``: all of it in a sentence.
    """

    step: int
    table: str
    recorded: str
    repeated: str
    text: str


class Repetition(msgspec.Struct, frozen=True):
    """The outcome of a repetition, which is in ``directory``.

    ``steps``: how many were done. ``rows``: how many were compared, by table. ``difference`` None: none was found.
    ``until``: why it ended before the record's session did, "" where it did not.
    """

    directory: str
    steps: int
    rows: dict[str, int]
    difference: Difference | None
    until: str


def repeat_session(options: Options, of: Path, *, progress: Progress, stop: StopFlag) -> Repetition:
    """Repeat what the session in ``of`` has recorded, up to the end of ``options.day``, and compare.

    The repetition is stored in ``options.data_dir``, or in a new directory of its own. Raises what
    :func:`~qts.runtime.session.session.run_session` does, InputError for strategies, settings or a seed that are
    not those of the session, and for a directory that holds a run.
    """
    directory = options.data_dir or _free_directory(of)
    if options.data_dir is not None and (directory / DATABASE_NAME).exists():
        raise InputError(f"--data-dir {directory}: it holds a run already; name a new one for the repetition")
    options = msgspec.structs.replace(options, data_dir=directory)
    steps, last, until, cut_ns = _Counted(of, last_of(options)), last_of(options), "", 0
    for process in range(len(processes_of(of / STEPS_NAME, last))):
        try:
            run_session(steps_plan(options, of, process), progress=progress, stop=stop)
        except RecordOver as over:
            steps.add(over.taken)
            cut_ns = over.ts_ns
            until = _why_over(of, process, last, cut_ns)
            break
        except RepetitionFailed as failed:
            steps.add(failed.taken)
            found = Difference(steps.done + 1, "", str(failed.next or ""), failed.instead, str(failed))
            return Repetition(str(directory), steps.done, {}, found, "")
        steps.add(*_length(RecordedSteps(of / STEPS_NAME, last, process)))
    if not until and _has_later(of, last):
        cut_ns, until = steps.ended_ns, f"at the end of {last}"
    with stored_run(of / DATABASE_NAME) as recorded, stored_run(directory / DATABASE_NAME) as repeated:
        rows, difference = compare(recorded, repeated, cut_ns, steps.number_at)
    return Repetition(str(directory), steps.done, rows, difference, until)


def compare(
    recorded: SessionStore, repeated: SessionStore, cut_ns: int, number_at: Callable[[int], int]
) -> tuple[dict[str, int], Difference | None]:
    """Return how many rows of each table were compared, and the first difference; None: there is none.

    ``cut_ns``: when the repetition ended before the session, 0 if it did not. Then what the session has stored
    later is left out. ``number_at`` returns the number of the step at a time.
    """
    counts: dict[str, int] = {}
    found: list[tuple[int, Difference]] = []
    for table in (*APPENDED, *(CHANGING if not cut_ns else ("orders",))):
        ours, theirs = list(getattr(recorded, table)()), list(getattr(repeated, table)())
        if table == "orders":
            ours, theirs = _orders(ours, theirs, cut_ns)
        elif cut_ns:
            ours = ours[: max(len(theirs), sum(_time_of(row) < cut_ns - _STORED_WITHIN_NS for row in ours))]
        counts[table] = len(theirs)
        for number in range(max(len(ours), len(theirs))):
            one, other = _text(ours, number), _text(theirs, number)
            if one != other:
                ts_ns = _time_of((ours if number < len(ours) else theirs)[number])
                step = number_at(ts_ns)
                found.append((ts_ns, Difference(step, table, one, other, _said(step, table, number, one, other))))
                break
    return counts, min(found, key=lambda one: one[0])[1] if found else None


def _orders(ours: list[Any], theirs: list[Any], cut_ns: int) -> tuple[list[Any], list[Any]]:
    """Return the orders of both by their ids; of a repetition that was cut those that have not changed since."""
    if cut_ns:
        settled = cut_ns - _STORED_WITHIN_NS
        ours = [one for one in ours if one.ts_update_ns < settled]
        kept = {one.client_order_id for one in ours}
        theirs = [one for one in theirs if one.client_order_id in kept]
    return tuple(sorted(some, key=lambda one: one.client_order_id) for some in (ours, theirs))  # type: ignore[return-value]


def _time_of(row: Any) -> int:
    """Return the time of a row (ns since 1970, UTC)."""
    ts_ns: int = row.ts_update_ns if hasattr(row, "ts_update_ns") else row.ts_ns
    return ts_ns


def _text(rows: Sequence[Any], number: int) -> str:
    return msgspec.json.encode(rows[number]).decode() if number < len(rows) else ""


def _said(step: int, table: str, number: int, one: str, other: str) -> str:
    at = f"at step {step:,}, " if step else ""
    return f"{at}row {number + 1:,} of {table}: recorded {_shown(one)}, repeated {_shown(other)}"


def _shown(row: str) -> str:
    return "nothing" if not row else row if len(row) <= _MOST_SHOWN else f"{row[:_MOST_SHOWN]}…"


def _why_over(of: Path, process: int, last: str, cut_ns: int) -> str:
    at = f"{from_ns(cut_ns).astimezone(KST):%Y-%m-%d %H:%M:%S} KST"
    if len(processes_of(of / STEPS_NAME, last)) > process + 1:
        return f"at {at} its process was killed; what the next one did is not repeated"
    if _has_later(of, last):
        return f"at the end of {last}"
    return f"at {at} its record ends: it still runs, or was killed"


def _has_later(of: Path, last: str) -> bool:
    if not last:
        return False
    files = [path for some in processes_of(of / STEPS_NAME) for path in some]
    return any(path.name.partition(".")[0] > last for path in files)


def _free_directory(of: Path) -> Path:
    """Return a directory for the repetition of ``of`` that does not exist."""
    name, number = of.resolve().name, 1
    while True:
        found = DEFAULT_ROOT / (f"repeated-{name}" if number == 1 else f"repeated-{name}-{number}")
        if not found.exists():
            return found
        number += 1


def _length(steps: RecordedSteps) -> tuple[int, int]:
    """Return how many steps there are, and the time of the last one."""
    count = ts_ns = 0
    for step in steps:
        count, ts_ns = count + 1, step.ts_ns
    return count, ts_ns


class _Counted:
    """The steps of all processes of a record, by number."""

    def __init__(self, of: Path, last: str) -> None:
        self._of = of
        self._last = last
        self.done = self.ended_ns = 0

    def add(self, count: int, ended_ns: int = 0) -> None:
        """Count steps that were done, the last of them at ``ended_ns``."""
        self.done += count
        self.ended_ns = ended_ns

    def number_at(self, ts_ns: int) -> int:
        """Return the number of the first step at that time or after it; 0: there is none."""
        number = 0
        for process in range(len(processes_of(self._of / STEPS_NAME, self._last))):
            for step in RecordedSteps(self._of / STEPS_NAME, self._last, process):
                number += 1
                if step.ts_ns >= ts_ns:
                    return number
        return 0
