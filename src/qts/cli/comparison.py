"""Two finished runs side by side: what they differ in, and their figures of performance."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qts.errors import InputError
from qts.performance import Performance
from qts.report.performance_rows import performance_rows
from qts.report.report_data import rounded
from qts.runtime.session.result import ResultValues, SessionResult


def comparison(results: Sequence[SessionResult]) -> str:
    """Return the runs as one JSON object: ``differences`` by name, and identity and figures of each run.

    Raises InputError for a run without figures.
    """
    runs = []
    for result in results:
        values = result.values
        runs.append(
            {
                "directory": str(result.directory),
                "run_id": values.run_id,
                "currency": values.currency,
                "equity_start": values.equity_start,
                "equity_end": values.equity_end,
                "performance": _figures(result),
            }
        )
    said = {name: list(texts) for name, texts in differences(results).items()}
    return msgspec.json.encode({"differences": said, "runs": runs}).decode()


def print_comparison(console: Console, results: Sequence[SessionResult]) -> None:
    """Print what the runs differ in and their figures, a column for each run.

    Raises InputError for a run without figures.
    """
    found = [_figures(result) for result in results]
    table = Table(box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("")
    for result in results:
        table.add_column(Text(str(result.directory)), justify="right")
    differing = differences(results)
    for name, texts in differing.items():
        table.add_row(name, *map(Text, texts))
    if differing:
        table.add_section()
    table.add_row("equity at the end", *(_money(result.values) for result in results))
    rows = [performance_rows(one, result.values.currency) for one, result in zip(found, results, strict=True)]
    texts_of = [{row.label.en: row.ours.en for row in of_run} for of_run in rows]
    for label in dict.fromkeys(label for texts in texts_of for label in texts):
        table.add_row(label, *(Text(texts.get(label, "no benchmark")) for texts in texts_of))
    console.print(table)
    if "source" in differing:
        console.print("The runs read different data: what differs may come from it.", highlight=False)


def differences(results: Sequence[SessionResult]) -> dict[str, tuple[str, ...]]:
    """Return what identifies the runs and is not the same in all of them, by name."""
    every = [_identity(result.values) for result in results]
    names = dict.fromkeys(name for one in every for name in one)
    rows = {name: tuple(one.get(name, "–") for one in every) for name in names}
    return {name: texts for name, texts in rows.items() if len(set(texts)) > 1}


def _identity(values: ResultValues) -> dict[str, str]:
    named = {
        "command": values.command,
        "profile": values.profile,
        "source": values.source,
        "seed": str(values.seed),
        "configuration": values.config_hash,
        "equity at the start": f"{rounded(Decimal(values.equity_start))} {values.currency}",
        "strategies": ", ".join(one["name"] for one in values.strategies),
    }
    for one in values.strategies:
        named |= {f"{one['name']}.{name}": str(value) for name, value in (one.get("params") or {}).items()}
    return named


def _figures(result: SessionResult) -> Performance:
    found = result.values.performance
    if found is None:
        raise InputError(
            f"the run in {result.directory} has no figures of performance: an earlier version made it (run it "
            "again), or a note of its summary says why"
        )
    return found


def _money(values: ResultValues) -> str:
    return f"{rounded(Decimal(values.equity_end))} {values.currency}"
