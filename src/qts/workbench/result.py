"""The result of a backtest: figures, trades, fills, orders and equity as rows, and the report."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from qts.errors import InputError
from qts.performance import Performance
from qts.report.performance_rows import performance_rows
from qts.report.report_data import rounded
from qts.report.session_report import write_report
from qts.runtime.session.result import ResultValues, SessionFacts, failures_of
from qts.workbench import tables
from qts.workbench.rows import Rows


class Result:
    """The outcome of a backtest. ``directory`` is its run directory; None when it is not kept."""

    def __init__(self, facts: SessionFacts, directory: Path, *, is_kept: bool) -> None:
        self.directory = directory if is_kept else None
        self._facts = facts

    @property
    def values(self) -> ResultValues:
        """Return every value of ``--json``, by attribute."""
        return self._facts.result

    @property
    def metrics(self) -> Performance:
        """Return the figures of performance; one that cannot be told has the value None and says why.

        Raises InputError when the books of the run give none at all.
        """
        found = self._facts.result.performance
        if found is None:
            raise InputError("; ".join(self.values.notes))
        return found

    @property
    def trades(self) -> Rows:
        """Return the completed round trips: entry, exit, amounts, costs, result; MAE and MFE are shares.

        ``ended_by`` is the level that was reached, stop, take or trail; "" for another exit.
        """
        return tables.trades(self._facts)

    @property
    def fills(self) -> Rows:
        """Return every fill, in the order of booking."""
        return tables.fills(self._facts)

    @property
    def orders(self) -> Rows:
        """Return every order, in the order of its intent; ``limit`` None: at the market."""
        return tables.orders(self._facts)

    @property
    def equity(self) -> Rows:
        """Return the samples of equity and cash, the session closes among them."""
        return tables.equity(self._facts)

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML file, to ``path`` and return it.

        Raises InputError for a place where no file can be written, and MissingExtraError where rules were in
        force and matplotlib is missing.
        """
        write_report(self._facts, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        values, found = self.values, self.values.performance
        rows = [("equity at the start", _money(values.equity_start, values.currency), "")]
        rows.append(("equity at the end", _money(values.equity_end, values.currency), ""))
        if found is not None:
            rows += [(one.label.en, one.ours.en, one.benchmark) for one in performance_rows(found, values.currency)]
        versus = None if found is None else found.versus
        if versus is not None:
            rows.insert(0, ("", "result", "buy and hold"))
        names, ours = (max(len(row[place]) for row in rows) for place in (0, 1))
        if versus is None:
            lines = [f"{name:<{names}}  {text}" for name, text, _ in rows]
        else:
            lines = [f"{name:<{names}}  {text:>{ours}}  {other:>12}".rstrip() for name, text, other in rows]
        notes = values.notes if found is None else []
        return "\n".join([*(text for text, _ in failures_of(values.strategies)), *lines, *notes])


def _money(amount: str, currency: str) -> str:
    return f"{rounded(Decimal(amount))} {currency}"
