"""Writes the reports of days into the data directory, a file for each language."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from qts.files import private_opener
from qts.runtime.session.day_report import TEXTS, DayReport, text_of

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
            path = folder / f"{report.close.day}.{language}.txt"
            draft = f"{path}.new"
            with open(draft, "wb", opener=private_opener) as file:
                file.write(text_of(report, language).encode())
            os.replace(draft, path)


def write_soon(directory: Path, report: DayReport) -> None:
    """Write the report on another thread, so that a slow disk delays no event. Called on the event loop's."""
    with suppress(RuntimeError):  # no room for a thread: the stored rows have it
        asyncio.get_running_loop().run_in_executor(None, write_day_report, directory, report)
