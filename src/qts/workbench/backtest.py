"""``qts.backtest``: a strategy tested on historical data, from a program or a notebook."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from qts.errors import ContractError, InputError
from qts.market.files.reading import read_as
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import failures_of
from qts.runtime.session.session import run_session, session_facts
from qts.runtime.session.session_plan import Options, Profile, SessionPlan
from qts.runtime.wiring.plans import backtest_plan
from qts.strategy.user_code import load_apart
from qts.threads import start_thread
from qts.workbench.inputs import (
    cash_text,
    day_of,
    fees_text,
    files_of,
    identity_of,
    made_strategy,
    params_as_texts,
    places_of,
    told_of_tables,
)
from qts.workbench.result import Result

_T = TypeVar("_T")


def backtest(
    strategy: Any,
    data: Any,
    *,
    params: Mapping[str, object] | None = None,
    cash: Decimal | int | float | str | None = None,
    fees: Decimal | int | float | str | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    history: Any = None,
    rules: bool = False,
    benchmark: Literal["hold"] | None = None,
    adjust: Literal["none", "split", "total"] = "none",
    symbol: str | None = None,
    timezone: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    date_format: str | None = None,
    seed: int = 7,
    data_dir: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    strict: bool = False,
    on_progress: Callable[[float | None], object] | None = None,
) -> Result:
    """Trade ``strategy`` on ``data`` and return what came of it; the same machine as ``qts backtest``.

    ``strategy`` is a class, an object, or FILE.py:Class. ``data`` is a path or several (files of bars, a folder of
    them, a recording), a DataFrame of pandas or Polars with the columns of a file of bars (of ``symbol``, else
    ASSET), or a dict of DataFrames by symbol.

    ``params`` sets declared parameters. ``cash`` is the opening cash, in the currency of the data. ``fees`` is the
    share of its amount that every fill costs, None what the market charges. ``start`` and ``end`` bound the days
    that are read. ``history`` are files, DataFrames or a dict of them as for ``data``, whose rows from before the
    first value warm up a strategy that declares bars; rows of ``data`` before ``start`` do so without being named.
    ``rules``: trade under pools, operating state and limits. ``benchmark`` "hold": compare with
    buying and holding equal shares of all symbols. ``adjust``: the prices that the strategy sees across splits and
    dividends. ``symbol``, ``timezone``, ``encoding``, ``delimiter`` and
    ``date_format`` say how files are to be read where they leave a doubt.

    ``data_dir`` keeps the run there, as the command does; None: nothing is left on the disk. ``settings`` are
    those of ``--set``, by dotted name. ``strict``: raise ContractError at the first error of a strategy; else they
    stand on standard error and in the result, and a strategy that fails again and again is halted. ``on_progress``
    is called with the share already read (None: unknown).

    It may be called where an event loop runs, as in a notebook; that loop then waits. Raises QtsError: InputError
    and DataError for what cannot be used, ContractError for what is no strategy.
    """
    given = dict(params or {})
    with tempfile.TemporaryDirectory(prefix="qts-backtest-") as scratch:
        overrides = {name: str(value) for name, value in (settings or {}).items()}
        if cash is not None:
            overrides["runtime.equity_start"] = cash_text(cash)
        if fees is not None:
            overrides["instruments.costs"] = fees_text(fees)
        if adjust != "none":
            overrides["runtime.adjust"] = adjust
        by_file = isinstance(strategy, str)
        files = files_of(data, symbol, Path(scratch))
        earlier = {} if history is None else files_of(history, symbol, Path(scratch, "history"), "history")
        given_names = {str(path): name for path, name in (files | earlier).items() if name is not None} or None
        options = Options(
            seed=seed,
            strategies=(strategy,) if by_file else (),
            params=params_as_texts(given) if by_file else (),
            strict=strict,
            data_dir=Path(scratch, "run") if data_dir is None else Path(data_dir),
            overrides=overrides,
            read_as=read_as(
                encoding=encoding,
                delimiter=delimiter,
                timezone=timezone,
                date_format=date_format,
                symbol=None if given_names else symbol,
                symbols=given_names,
            ),
            profile=Profile.RULES if rules else Profile.PLAIN,
            first_day=day_of(start, "start"),
            last_day=day_of(end, "end"),
            benchmark=_benchmark(benchmark),
            history=tuple(earlier),
        )
        with _naming(places_of(data, files)):
            plan = backtest_plan(options, list(files), None)
            if not by_file:
                one = load_apart(made_strategy, strategy, given)
                plan = msgspec.structs.replace(
                    plan, default_strategies=lambda: (one,), own_identity=identity_of(strategy, given)
                )
            return _without_loop(lambda: _run(plan, on_progress, is_kept=data_dir is not None))


@contextmanager
def _naming(tables: Mapping[str, str]) -> Iterator[None]:
    """Raise unusable input again with the names of ``tables`` in place of the files they were written into."""
    try:
        yield
    except InputError as error:
        told = told_of_tables(str(error), tables)
        if told == str(error):
            raise
        raise type(error)(told) from None


def _run(
    plan: SessionPlan,
    on_progress: Callable[[float | None], object] | None,
    *,
    is_kept: bool,
) -> Result:
    def progress(share: float | None, moment_ns: int, /) -> None:
        if on_progress is not None:
            on_progress(share)

    result = run_session(plan, progress=progress, stop=StopFlag())
    if plan.options.strict and (failures := [text for text, _ in failures_of(result.values.strategies)]):
        raise ContractError("; ".join(failures))
    return Result(session_facts(result), result.directory, is_kept=is_kept)


def _benchmark(name: str | None) -> Literal["hold"] | None:
    if name is None or name == "hold":
        return name  # type: ignore[return-value]
    raise InputError(f"benchmark={name!r}: must be 'hold' or None")


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _without_loop(work: Callable[[], _T]) -> _T:
    """Return what ``work`` returns; in another thread when an event loop runs in this one."""
    if not _is_loop_running():
        return work()
    done: list[_T] = []
    failed: list[BaseException] = []

    def in_thread() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: raised again in the caller's
            failed.append(error)

    start_thread(in_thread, "qts-backtest").join()
    if failed:
        raise failed[0]
    return done[0]
