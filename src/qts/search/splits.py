"""Cuts the sessions of an input into parts to search on and parts to judge on.

Days are sessions of the market: ``250d`` are 250 of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from qts.errors import InputError
from qts.market.contracts import Calendar
from qts.search.contracts import Window

SPLITS: Final = ("none", "walk-forward", "purged-kfold")
MOST_FOLDS: Final = 1_000
_DAYS: Final = re.compile(r"([0-9]{1,5})d?", re.ASCII)


class Fold(msgspec.Struct, frozen=True):
    """One search: the windows it is made on, and those that judge its best; () where nothing judges."""

    train: tuple[Window, ...]
    test: tuple[Window, ...]


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A way to cut the sessions; lengths are counts of sessions.

    ``train`` and ``test`` are for walk-forward, ``is_anchored``: each search begins with the first session.
    ``folds`` is for purged-kfold. ``embargo`` sessions between a search and what judges it belong to neither.
    ``holdout`` is the share of the sessions at the end that nothing sees, 0..0.9.
    """

    kind: str = "none"
    train: int = 0
    test: int = 0
    is_anchored: bool = False
    folds: int = 5
    embargo: int = 0
    holdout: float = 0.0


class Plan(msgspec.Struct, frozen=True):
    """The folds, and the sealed window at the end; None without one."""

    folds: tuple[Fold, ...]
    sealed: Window | None


def days_of(text: str, option: str) -> int:
    """Return a count of sessions such as ``250d``. Raises InputError for anything else."""
    found = _DAYS.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise InputError(f"{option} {text}: write a number of sessions such as 250d")
    return int(found[1])


def share_of(text: str, option: str) -> float:
    """Return a share such as ``20%`` or ``0.2``, above 0 and at most 0.9. Raises InputError for anything else."""
    plain = text.strip()
    try:
        value = float(plain.removesuffix("%")) / (100.0 if plain.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 0.9:
        raise InputError(f"{option} {text}: write a share of the sessions above 0 and at most 90 %, such as 20%")
    return value


def sessions_between(calendar: Calendar, first: date, last: date) -> list[date]:
    """Return the days from ``first`` to ``last`` on which the market is open."""
    found, day = [], first
    while day <= last:
        if calendar.is_trading_day(day):
            found.append(day)
        day += timedelta(days=1)
    return found


def plan_of(split: Split, days: Sequence[date]) -> Plan:
    """Return the folds over the sessions ``days``.

    Raises InputError when they are too few for the split, with the numbers.
    """
    if split.kind not in SPLITS:
        raise InputError(f"--split {split.kind}: allowed are {', '.join(SPLITS)}")
    sealed_count = round(len(days) * split.holdout)
    kept = days[: len(days) - sealed_count]
    if not kept:
        raise InputError(f"the input has {len(days)} sessions: nothing is left to search on")
    folds = tuple(_FOLDS[split.kind](split, kept))
    if len(folds) > MOST_FOLDS:
        raise InputError(f"{len(folds):,} folds; at most {MOST_FOLDS:,} are allowed: lengthen --test")
    return Plan(folds, Window(days[len(kept)], days[-1]) if sealed_count else None)


def _one(split: Split, days: Sequence[date]) -> Iterator[Fold]:
    yield Fold((Window(days[0], days[-1]),), ())


def _forward(split: Split, days: Sequence[date]) -> Iterator[Fold]:
    if not (split.train and split.test):
        raise InputError("--split walk-forward needs --train and --test, for example --train 250d --test 60d")
    needed = split.train + split.embargo + split.test
    if len(days) < needed:
        raise InputError(
            f"a fold takes {split.train} + {split.embargo} + {split.test} = {needed} sessions (--train, --embargo, "
            f"--test), and there are {len(days)}"
        )
    begin = 0
    while begin + needed <= len(days):
        train_end = begin + split.train
        first = 0 if split.is_anchored else begin
        test = days[train_end + split.embargo : train_end + split.embargo + split.test]
        yield Fold((Window(days[first], days[train_end - 1]),), (Window(test[0], test[-1]),))
        begin += split.test


def _purged(split: Split, days: Sequence[date]) -> Iterator[Fold]:
    count = split.folds
    if count < 2 or len(days) < count * max(2, split.embargo + 1):
        raise InputError(
            f"--folds {count} with an embargo of {split.embargo} sessions: {len(days)} sessions are too few, or "
            "there are fewer than 2 folds"
        )
    for number in range(count):
        begin, end = len(days) * number // count, len(days) * (number + 1) // count
        before, after = days[: max(0, begin - split.embargo)], days[end + split.embargo :]
        train = tuple(Window(part[0], part[-1]) for part in (before, after) if part)
        yield Fold(train, (Window(days[begin], days[end - 1]),))


_FOLDS: Final = {"none": _one, "walk-forward": _forward, "purged-kfold": _purged}
