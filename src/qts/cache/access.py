"""The way to a cache server, read from a URL and the environment: where it is, as whom, over which encryption.

A URL names no password, see :mod:`qts.access`. It comes from ``QTS_CACHE_PASSWORD``, or from the file that
``QTS_CACHE_PASSWORD_FILE`` names. No message and no ``repr`` shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

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
    tls_notes,
)
from qts.errors import InputError

URL: Final = "QTS_CACHE_URL"
PASSWORD: Final = "QTS_CACHE_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE: Final = "QTS_CACHE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
DEFAULT_PORT: Final = 6379
MOST_DATABASES: Final = 1_000_000
_FORM: Final = "redis://user@host:port/0"
_ENCRYPTED: Final = ("rediss", "valkeys")
_A_DATABASE: Final = "which is that of a database, not of a cache: give it to --db"
_KIND: Final = UrlKind(
    name="cache",
    schemes=("redis", "valkey", *_ENCRYPTED),
    form=_FORM,
    forms=f"{_FORM}, rediss:// where it is encrypted, and valkey:// or valkeys:// for the same",
    parameters=("tls", "tlscert", "tlskey", "tlsrootcert"),
    password=PASSWORD,
    password_file=PASSWORD_FILE,
    others={"postgresql": _A_DATABASE, "postgres": _A_DATABASE, "sqlite": _A_DATABASE},
)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a cache server, checked; of a cluster to any of its nodes.

    ``user`` "": the server's default one. ``password`` "": none was given. ``root_certificate``: the file with the
    authorities that are believed; "" for those of the system. ``certificate`` and ``key``: the files with which
    this side says who it is, where the server asks; "" for none. ``notes``: sentences that a person has to be told
    once.
    """

    host: str
    port: int
    number: int
    tls: Tls
    user: str = ""
    password: str = ""
    root_certificate: str = ""
    certificate: str = ""
    key: str = ""
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return user, host and number of the database as messages name them."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{shown_host(self.host)}:{self.port}/{self.number}"

    def __repr__(self) -> str:
        secret = ", password=…" if self.password else ""
        return f"Access({self.place!r}, tls={self.tls!r}{secret})"


def parse(url: str, environ: Mapping[str, str]) -> Access:
    """Return the way to the server that ``url`` names, with a password of ``environ``.

    Raises InputError, which shows no part of the URL that may be a secret.
    """
    split = split_url(url, _KIND)
    given = parameters_of(split, _KIND)
    host = host_of(split, _KIND)
    near, encrypted = is_near(host), split.scheme in _ENCRYPTED
    default: Tls = "disable" if near and not encrypted else "verify-full"
    tls = choice(given, "tls", TLS, default, _KIND)
    if encrypted and tls == "disable":
        raise InputError(
            f"the cache URL asks for encryption with {split.scheme}:// and for none with tls=disable; give one of "
            "them"
        )
    certificate, key = file_of(given, "tlscert", _KIND), file_of(given, "tlskey", _KIND)
    if bool(certificate) != bool(key):
        raise InputError("the cache URL names one of tlscert and tlskey; a certificate needs its key: give both")
    return Access(
        host=host,
        port=DEFAULT_PORT if split.port is None else split.port,
        number=_number(unquote(split.path)),
        user=unquote(split.username or ""),
        tls=tls,
        password=password_of(environ, _KIND),
        root_certificate=file_of(given, "tlsrootcert", _KIND),
        certificate=certificate,
        key=key,
        notes=() if near else tls_notes(host, tls, "tls"),
    )


def _number(path: str) -> int:
    text = path.removeprefix("/") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < len(str(MOST_DATABASES))):
        raise InputError(
            f"the cache URL names no number of a database behind its host; allowed is {_FORM}, with a whole number "
            f"below {MOST_DATABASES:,} at its end"
        )
    return int(text)
