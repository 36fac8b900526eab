"""The mutants that no test can kill: they do the same as what they were made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = Path(__file__).with_name("equivalent.tsv")


@dataclass(frozen=True)
class Row:
    """A mutant by the text of its line, and why it is equivalent."""

    module: str
    function: str
    line: str
    mutated: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what tells this mutant from others, as :attr:`Mutant.key`."""
        return self.module, self.function, self.line, self.mutated


def read() -> list[Row]:
    """Return the rows of the table, ordered as they stand."""
    lines = PATH.read_text().splitlines()
    return [Row(*line.split("\t")) for line in lines if line and not line.startswith("#")]
