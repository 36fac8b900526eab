"""Writes the reports of days into the data directory, a file for each language."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Final

from qts.db.session import SessionStore
from qts.files import private_opener
from qts.runtime.session.day_report import TEXTS, DayReport, reports_of, text_of

DIRECTORY: Final = "days"
"""The folder of the reports in a data directory."""


def write_day_report(directory: Path, report: DayReport) -> None:
    """Write the report of a day into the folder of reports in ``directory``, a file for each language.

    What cannot be written is left out: the stored rows have it, and nothing depends on the file.
    """
    folder = directory / DIRECTORY
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        for language in TEXTS:
            path = _path(directory, report, language)
            draft = f"{path}.new"
            with open(draft, "wb", opener=private_opener) as file:
                file.write(text_of(report, language).encode())
            os.replace(draft, path)


def write_missing(directory: Path, store: SessionStore, opened: Decimal, currency: str) -> None:
    """Write the reports of closed days that have no files: a process that was killed had no time to write them.

    ``opened`` is the opening capital of the run, in ``currency``. Called before the session goes on.
    """
    for report in reports_of(store.day_closes(), store.holding_closes(), opened, currency):
        if not all(_path(directory, report, language).exists() for language in TEXTS):
            write_day_report(directory, report)


def write_soon(directory: Path, report: DayReport) -> None:
    """Write the report on another thread, so that a slow disk delays no event. Called on the event loop's."""
    with suppress(RuntimeError):  # no room for a thread: the stored rows have it
        asyncio.get_running_loop().run_in_executor(None, write_day_report, directory, report)


def _path(directory: Path, report: DayReport, language: str) -> Path:
    return directory / DIRECTORY / f"{report.close.day}.{language}.txt"
