"""The console on which tables are printed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

_UNBOUNDED = 10_000
_LONGEST_NAME = 44


class Screen(Console):
    """A console that never cuts an amount or a name, and raises for a closed pipe.

    A table whose columns do not fit is printed as wide as they need: the terminal breaks its lines, and nothing is
    lost. (The library would shorten every column, and end the program with 1 on a closed pipe.)
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as the library does; give a table at least the width that its columns need."""
        given = self.width
        tables = [one for one in objects if isinstance(one, Table)]
        for column in (column for one in tables for column in one.columns):
            self._keep_whole(column)
        if tables:
            options.setdefault("crop", False)
            unbounded = self.options.update(width=_UNBOUNDED, max_width=_UNBOUNDED)
            self.width = max([given, *(Measurement.get(self, unbounded, one).minimum for one in tables)])
        try:
            super().print(*objects, **options)
        finally:
            self.width = given

    def _keep_whole(self, column: Column) -> None:
        """Make ``column`` wide enough for its amounts, and where it may fold for its longest name."""
        unbounded = self.options.update(width=_UNBOUNDED, max_width=_UNBOUNDED)
        measured = [Measurement.get(self, unbounded, cell) for cell in (column.header, *column.cells)]
        if column.no_wrap:
            column.min_width = max(one.maximum for one in measured)
        else:
            column.overflow = "fold"  # what is longer than any name, such as a path, goes on in the next line
            column.min_width = min(max(one.minimum for one in measured), _LONGEST_NAME)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
