"""Checks of a server before anything is written to it; each refusal is one line with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from qts.db.adapter import Capabilities
from qts.errors import InputError
from qts.wording import printable

OLDEST: Final = 15
NEWEST: Final = 18
QUERY: Final = """
SELECT current_setting('server_version_num')::integer / 10000 AS major,
  current_setting('server_version') AS version,
  current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS is_replica,
  current_setting('transaction_read_only') AS read_only,
  current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit,
  (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb,
  current_setting('timescaledb.license', true) AS license
"""
"""One row, in which every setting that is looked at has a column."""

_MOST_SAID: Final = 80
_DURABILITY: Final = ("fsync", "full_page_writes", "synchronous_commit")
_PLAIN: Final = "QTS itself keeps market values in partitions and makes their bars, with the same answers"


class Findings(NamedTuple):
    """The means of a server, and sentences that a person has to be told once."""

    capabilities: Capabilities
    warnings: tuple[str, ...]


def check_server(found: Mapping[str, Any], where: str, *, live: bool) -> Findings:
    """Return what the server can do, from the row of :data:`QUERY`.

    ``live``: it holds what a real broker did, so it may not lose what it has confirmed; otherwise that is a
    warning. Raises InputError.
    """
    found = {name: printable(said, _MOST_SAID) if isinstance(said, str) else said for name, said in found.items()}
    if found["major"] < OLDEST:
        raise InputError(
            f"{where}: the server is PostgreSQL {found['version']}; allowed are {OLDEST} to {NEWEST}: use a newer "
            "server"
        )
    if found["encoding"] != "UTF8":
        raise InputError(
            f"{where}: the database has the encoding {found['encoding']}, allowed is UTF8: make one with "
            "createdb --encoding=UTF8 --template=template0"
        )
    if why := why_not_writable(found):
        raise InputError(f"{where}: {why}")
    warnings = []
    if found["major"] > NEWEST:
        warnings.append(
            f"{where}: the server is PostgreSQL {found['version']}, newer than those this version was tested with "
            f"({OLDEST} to {NEWEST})"
        )
    off = [name for name in _DURABILITY if found[name] == "off"]
    if off:
        text = (
            f"{where}: the server runs with {' and '.join(f'{name} = off' for name in off)}, so it may lose what "
            "it has confirmed"
        )
        if live:
            raise InputError(f"{text}: set {'it' if len(off) == 1 else 'them'} to on")
        warnings.append(text)
    return Findings(_capabilities(found), tuple(warnings))


def why_not_writable(found: Mapping[str, Any]) -> str:
    """Return why nothing can be written to the server, with what to do; "" when it can."""
    if found["is_replica"]:
        return "the server is a replica (pg_is_in_recovery), and books are written to the primary: give its host"
    if found["read_only"] != "off":
        return (
            "the server takes no writes (default_transaction_read_only = on): set it to off for this user or "
            "database, or give another server"
        )
    return ""


def _capabilities(found: Mapping[str, Any]) -> Capabilities:
    name = f"PostgreSQL {found['version']}"
    if found["timescaledb"] is None:
        lacks = f"there is no TimescaleDB in this database: {_PLAIN}"
        return Capabilities(server=name, lacks=(lacks,))
    name += f" with TimescaleDB {found['timescaledb']}"
    if found["license"] != "timescale":
        state = (
            "is not loaded by this server (shared_preload_libraries)"
            if found["license"] is None
            else f"runs here under timescaledb.license = {found['license']}, without compression and aggregates"
        )
        lacks = f"TimescaleDB {state}: {_PLAIN}"
        return Capabilities(server=name, lacks=(lacks,))
    return Capabilities(server=name, compression=True, aggregates=True)
