"""The console on which tables are printed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_UNBOUNDED = 10_000


class Screen(Console):
    """A console that never cuts an amount or a name, and leaves it to the command what a closed pipe means.

    A table whose columns do not fit is printed as wide as they need: the terminal breaks its lines, and nothing is
    lost. (The library would shorten every column, and end the program with 1 on a closed pipe.)
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as the library does; a table gets at least the width that its columns need."""
        given = self.width
        tables = [one for one in objects if isinstance(one, Table)]
        unbounded = self.options.update(width=_UNBOUNDED, max_width=_UNBOUNDED)
        for column in (column for one in tables for column in one.columns if column.no_wrap):
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(self, unbounded, cell).maximum for cell in cells)
        self.width = max([given, *(Measurement.get(self, unbounded, one).minimum for one in tables)])
        try:
            super().print(*objects, **options)
        finally:
            self.width = given

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
