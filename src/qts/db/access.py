"""The way to a database server, read from a URL and the environment: where it is, as whom, over which encryption.

A URL names no password, see :mod:`qts.access`. It comes from ``QTS_DB_PASSWORD``, from the file that
``QTS_DB_PASSWORD_FILE`` names, or as for every client of PostgreSQL from ``PGPASSWORD`` or the file ``~/.pgpass``.
No message and no ``repr`` shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote

import msgspec

from qts.access import (
    TLS,
    Tls,
    UrlKind,
    choice,
    file_of,
    host_of,
    is_near,
    parameters_of,
    password_of,
    shown_host,
    split_url,
    this_user,
    tls_notes,
)
from qts.errors import InputError

URL: Final = "QTS_DB_URL"
PASSWORD: Final = "QTS_DB_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE: Final = "QTS_DB_PASSWORD_FILE"  # noqa: S105 - the name of a variable
DEFAULT_PORT: Final = 5432
_FORM: Final = "postgresql://user@host:port/database"
_POOLERS: Final = {"none": False, "session": False, "transaction": True}
_A_CACHE: Final = "which is that of a cache: give it to --cache"
_KIND: Final = UrlKind(
    name="database",
    schemes=("postgresql", "postgres"),
    form=_FORM,
    forms=f"{_FORM} and sqlite:///path/to/file",
    parameters=("host", "pooler", "sslmode", "sslrootcert"),
    password=PASSWORD,
    password_file=PASSWORD_FILE,
    elsewhere="in ~/.pgpass",
    others={"redis": _A_CACHE, "rediss": _A_CACHE, "valkey": _A_CACHE, "valkeys": _A_CACHE},
)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a database of a server, checked.

    ``host``: a name, an address, or the absolute path of the directory of a local socket. ``password`` "": none was
    given, and the driver looks into ``PGPASSWORD`` and ``~/.pgpass``. ``root_certificate``: the file with the
    authorities that are believed; "" for those of the system. ``pooled``: between us and the server stands a pooler
    that gives each transaction another connection, so nothing may be kept in one. ``notes``: sentences that a
    person has to be told once.
    """

    host: str
    port: int
    database: str
    user: str
    tls: Tls
    password: str = ""
    root_certificate: str = ""
    pooled: bool = False
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return user, host and database as messages name them."""
        return f"{self.user}@{shown_host(self.host)}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        secret = ", password=…" if self.password else ""
        return f"Access({self.place!r}, tls={self.tls!r}, pooled={self.pooled}{secret})"


def parse(url: str, environ: Mapping[str, str]) -> Access:
    """Return the way to the server that ``url`` names, with a password of ``environ``.

    Raises InputError, which shows no part of the URL that may be a secret.
    """
    split = split_url(url, _KIND)
    given = parameters_of(split, _KIND)
    host = _host(split, given)
    database = unquote(split.path.removeprefix("/"))
    if not database or "/" in database:
        raise InputError(f"the database URL names {'more than a' if database else 'no'} database; give {_FORM}")
    near = is_near(host)
    default: Tls = "disable" if near else "verify-full"
    tls = choice(given, "sslmode", TLS, default, _KIND)
    return Access(
        host=host,
        port=DEFAULT_PORT if split.port is None else split.port,
        database=database,
        user=unquote(split.username or "") or this_user(_KIND),
        tls=tls,
        password=password_of(environ, _KIND),
        root_certificate=file_of(given, "sslrootcert", _KIND),
        pooled=choice(given, "pooler", _POOLERS, False, _KIND),
        notes=() if near else tls_notes(host, tls, "sslmode"),
    )


def _host(split: SplitResult, given: Mapping[str, str]) -> str:
    directory = given.get("host")
    if directory is None:
        return host_of(split, _KIND)
    if split.hostname or not directory.startswith("/"):
        raise InputError(
            "the parameter host of the database URL is the absolute path of the directory of a local socket, as in "
            "postgresql://user@/database?host=/run/postgresql"
        )
    return directory
