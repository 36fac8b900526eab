"""The console on which tables are printed."""

from __future__ import annotations

from rich.console import Console


class Screen(Console):
    """Leaves it to the command what a closed pipe means; the library ends the program with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
