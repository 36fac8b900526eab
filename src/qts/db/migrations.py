"""The steps of a schema: numbered SQL files in the package, forward only, checksummed, one transaction each.

``schema/sqlite`` makes the local book; :mod:`qts.db.migrate` runs it. ``schema/postgres`` and ``schema/timescale``
together make the schema of a server; :mod:`qts.db.postgres.migrate` runs them. For the files of a server:

- Both folders share one space of numbers and run in its order. Those of ``timescale`` run only where TimescaleDB
  is, under its own licence; elsewhere they are noted as skipped, and run when it is there later. So no file of
  ``postgres`` relies on one of ``timescale``, and one of ``timescale`` also works behind later ones of the other.
- Names stand without the schema: it is the first of the search path, and the same files are run in another one to
  find out what has drifted. A function that runs with its owner's rights says ``SET search_path FROM CURRENT``.
- No statement that cannot run in a transaction: no ``CREATE INDEX CONCURRENTLY``; continuous aggregates are made
  ``WITH NO DATA`` and first filled by a job.
- A file that was released is never changed, not even a remark in it: a later one corrects it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple


class Migration(NamedTuple):
    """One step of a schema; ``checksum`` is the SHA-256 of its text, ``folder`` the part of the schema it is in."""

    version: int
    name: str
    sql: str
    folder: str = ""

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Applied(NamedTuple):
    """A step as a database remembers it; ``skipped``: not run, because the database lacks what it needs."""

    name: str
    checksum: str
    skipped: bool = False


def migrations_of(*folders: str) -> list[Migration]:
    """Return the steps in ``folders`` of this version's schema, in the order of their numbers."""
    root = resources.files("qts.db.schema")
    steps = [
        Migration(int(file.name[:4]), file.name, file.read_text("utf-8"), folder)
        for folder in folders
        for file in root.joinpath(folder).iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(steps, key=lambda step: step.version)


def why_not_ours(applied: Mapping[int, Applied], known: Sequence[Migration], instead: str) -> str:
    """Return why this version cannot use what was applied to a database: "" when it can.

    ``instead`` is what to do, other than using the version that wrote it, when the text of a step has changed.
    """
    by_version = {step.version: step for step in known}
    for version, (name, checksum, _) in sorted(applied.items()):
        step = by_version.get(version)
        if step is None:
            return (
                f"has migration {name}, which this version of QTS does not know; "
                "use the newer version that wrote it"
            )
        if step.checksum != checksum:
            return (
                f"migration {name} was applied with another text than this version has; "
                f"use the version that wrote it or {instead}"
            )
    return ""
