"""The inputs of :func:`qts.backtest`: a strategy as class, object or file, data as paths or tables in memory."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from qts.errors import InputError
from qts.strategy.contracts import Strategy
from qts.strategy.loading import check_strategy
from qts.strategy.params import settable_of, unknown_param

_DEFAULT_SYMBOL = "ASSET"
"""Of a table in memory that names none."""

_LINE = re.compile(r"\bline (\d+)\b")


def made_strategy(given: Any, params: Mapping[str, object]) -> Strategy:
    """Return the strategy that ``given``, a class or an object, stands for.

    A class is made with ``params`` as keywords; an object takes none. Raises InputError for a wrong parameter and
    ContractError when it is no strategy.
    """
    where = given.__qualname__ if isinstance(given, type) else type(given).__qualname__
    if not isinstance(given, type):
        if params:
            raise InputError(f"{where} is an object already; pass its class to set params")
        return check_strategy(given, where)
    declared = settable_of(given)
    for name in params:
        if name not in declared:
            raise InputError(unknown_param(given.__name__, name, declared))
    return check_strategy(given(**params), where)


def identity_of(given: Any, params: Mapping[str, object]) -> tuple[str, ...]:
    """Return what identifies a strategy that comes from no file: its source, its name, its parameters."""
    cls = given if isinstance(given, type) else type(given)
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):  # made at run time
        source = ""
    digest = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()
    return (f"{cls.__module__}.{cls.__qualname__}:{digest}", *(f"{k}={v!r}" for k, v in sorted(params.items())))


def params_as_texts(params: Mapping[str, object]) -> tuple[str, ...]:
    """Return the parameters of a strategy named by its file, as ``--param`` takes them."""
    return tuple(f"{name}={value}" for name, value in params.items())


def files_of(data: Any, symbol: str | None, folder: Path, name: str = "data") -> dict[Path, str | None]:
    """Return the files that ``data`` stands for, a path, several paths, a table, or tables by symbol.

    ``name`` is that of the argument in an error.

    Each has its symbol; None: the file shows it. A table is a DataFrame of pandas or Polars; it is written into
    ``folder`` as a CSV file of its symbol (``symbol``, else ASSET). Raises InputError for anything else.
    """
    if isinstance(data, str | os.PathLike):
        return {Path(data).expanduser(): None}
    if isinstance(data, Mapping) and data:
        tables = [(str(one), table) for one, table in data.items()]
        return {_written(table, one, folder / str(place), name): one for place, (one, table) in enumerate(tables)}
    if _is_table(data):
        of = symbol or _DEFAULT_SYMBOL
        return {_written(data, of, folder, name): of}
    if isinstance(data, Sequence) and data and all(isinstance(one, str | os.PathLike) for one in data):
        return {Path(one).expanduser(): None for one in data}
    raise InputError(
        f"{name} must be a path, a list of paths, a DataFrame of pandas or Polars, or a dict of DataFrames by "
        f"symbol, got {type(data).__name__}"
    )


def places_of(data: Any, files: Mapping[Path, str | None]) -> dict[str, str]:
    """Return what a message calls the tables of ``data``, by the paths of the ``files`` they were written into.

    ``data`` for a single table, ``data['005930']`` for one of several. Empty where ``data`` are paths.
    """
    if isinstance(data, Mapping):
        return {str(path): f"data[{name!r}]" for path, name in files.items()}
    return dict.fromkeys(map(str, files), "data") if _is_table(data) else {}


def told_of_tables(text: str, places: Mapping[str, str]) -> str:
    """Return ``text`` with the tables in place of their files, and with their rows in place of lines.

    A file's first line names the columns, so line 2 is row 0. Unchanged where it names no file of ``places``.
    """
    told = text
    for path, place in places.items():
        told = told.replace(path, place)
    if told == text:
        return text
    rows = _LINE.sub(lambda found: f"row {int(found[1]) - 2}" if int(found[1]) > 1 else "its columns", told)
    return f"{rows} (rows counted from 0)" if "row " in rows and _LINE.search(told) else rows


def day_of(value: date | str | None, name: str) -> date | None:
    """Return a day from a date or an ISO text. Raises InputError for another text."""
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InputError(f"{name}={value!r} is not a date such as 2014-01-31") from None


def number_text(value: Decimal | int | float | str, name: str) -> str:
    """Return a number as text. Raises InputError for what is none."""
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        if not Decimal(text).is_finite():
            raise ValueError
    except (ValueError, ArithmeticError):
        raise InputError(f"{name}={value!r} is not a number") from None
    return f"{Decimal(text):f}"


def cash_text(value: Decimal | int | float | str) -> str:
    """Return opening cash as text. Raises InputError for what is no number above 0."""
    text = number_text(value, "cash")
    if Decimal(text) <= 0:
        raise InputError(f"cash={value!r} must be above 0")
    return text


def fees_text(value: Decimal | int | float | str) -> str:
    """Return the share of its amount that a fill costs as text. Raises InputError for what is no such share."""
    text = number_text(value, "fees")
    if not 0 <= Decimal(text) < 1:
        raise InputError(f"fees={value!r} must be a share of an amount, from 0 and below 1; 0.0015 is 0.15 %")
    return text


def _is_table(data: Any) -> bool:
    return callable(getattr(data, "to_csv", None)) or callable(getattr(data, "write_csv", None))


def _written(table: Any, symbol: str, folder: Path, name: str) -> Path:
    if not _is_table(table):
        raise InputError(f"{name}[{symbol!r}] must be a DataFrame of pandas or Polars, got {type(table).__name__}")
    if not symbol or any(char in symbol for char in "/\\\0"):
        raise InputError(f"{name}: {symbol!r} cannot be the name of a symbol")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{symbol}.csv"
    if callable(getattr(table, "write_csv", None)):
        table.write_csv(path)
    else:
        _with_index_named(table).to_csv(path, index=not _is_counted(table))
    return path


def _with_index_named(table: Any) -> Any:
    """Return a pandas table whose index, where it is one of dates, has a name that is known as theirs."""
    return table.rename_axis(index="Date") if table.index.name is None else table


def _is_counted(table: Any) -> bool:
    """Return whether the index of a pandas table only counts its rows."""
    return table.index.name is None and getattr(table.index.dtype, "kind", "") in ("i", "u")
