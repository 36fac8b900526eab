"""The way to a database server, read from a URL and the environment: where it is, as whom, over which encryption.

A URL names no password: other users of the machine would see it in the list of processes, and shells keep it. It
comes from ``QTS_DB_PASSWORD``, from the file that ``QTS_DB_PASSWORD_FILE`` names, or as for every client of
PostgreSQL from ``PGPASSWORD`` or the file ``~/.pgpass``. No message and no ``repr`` shows one.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from qts.errors import InputError

_T = TypeVar("_T")
Tls: TypeAlias = Literal["disable", "require", "verify-ca", "verify-full"]
"""Encryption: none; without a look at who answers; by a certificate of a known authority; and for this host."""

URL: Final = "QTS_DB_URL"
PASSWORD: Final = "QTS_DB_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE: Final = "QTS_DB_PASSWORD_FILE"  # noqa: S105 - the name of a variable
DEFAULT_PORT: Final = 5432
_SCHEMES: Final = ("postgresql", "postgres")
_FORM: Final = "postgresql://user@host:port/database"
_FORMS: Final = f"{_FORM} and sqlite:///path/to/file"
_TLS: Final[dict[str, Tls]] = {
    "disable": "disable",
    "require": "require",
    "verify-ca": "verify-ca",
    "verify-full": "verify-full",
}
_POOLERS: Final = {"none": False, "session": False, "transaction": True}
_PARAMETERS: Final = ("host", "pooler", "sslmode", "sslrootcert")
_SECRET: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[a-z][a-z0-9_+.-]{0,40}", re.IGNORECASE)
"""Text that is short and plain enough to be shown: a scheme or the name of a parameter."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_OTHERS_MAY_READ: Final = 0o077


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
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        secret = ", password=…" if self.password else ""
        return f"Access({self.place!r}, tls={self.tls!r}, pooled={self.pooled}{secret})"


def parse(url: str, environ: Mapping[str, str]) -> Access:
    """Return the way to the server that ``url`` names, with a password of ``environ``.

    Raises InputError, which shows no part of the URL that may be a secret.
    """
    split = _split(url)
    given = _parameters(split)
    host = _host(split, given)
    database = unquote(split.path.removeprefix("/"))
    if not database or "/" in database:
        raise InputError(f"the database URL names {'more than a' if database else 'no'} database; give {_FORM}")
    if _CONTROL.search(unquote(url)):
        raise InputError(f"the database URL has a control character; allowed is {_FORM}")
    is_near = _is_near(host)
    default: Tls = "disable" if is_near else "verify-full"
    access = Access(
        host=host,
        port=DEFAULT_PORT if split.port is None else split.port,
        database=database,
        user=unquote(split.username or "") or _this_user(),
        tls=_choice(given, "sslmode", _TLS, default),
        password=_password(environ),
        root_certificate=_certificate(given.get("sslrootcert", "")),
        pooled=_choice(given, "pooler", _POOLERS, False),
    )
    return msgspec.structs.replace(access, notes=() if is_near else _notes(access))


def _split(url: str) -> SplitResult:
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() not in _SCHEMES:
        found = f"its scheme is {scheme!r}" if mark and _PLAIN.fullmatch(scheme) else "it has no known scheme"
        raise InputError(f"the database URL cannot be used: {found}; allowed are {_FORMS}")
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        # Not shown: what stands where the port should be may be the end of a password.
        raise InputError(
            f"the database URL cannot be read: its host or port is not one; allowed is {_FORM}, with characters "
            "other than letters, digits and -._~ written as %xx"
        ) from None
    if split.password is not None:
        raise InputError(
            f"the database URL has a password, which other users of this machine could read; take it out, and give "
            f"it in the environment variable {PASSWORD}, in a file named by {PASSWORD_FILE}, or in ~/.pgpass"
        )
    if split.fragment or "#" in url:
        raise InputError(f"the database URL has a part behind #, which means nothing; allowed is {_FORM}")
    return split


def _parameters(split: SplitResult) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        if _SECRET.search(name):
            raise InputError(
                f"the database URL has a password in a parameter; take it out, and give it in {PASSWORD}, in a "
                f"file named by {PASSWORD_FILE}, or in ~/.pgpass"
            )
        if name not in _PARAMETERS or name in found:
            shown = f"{name!r}" if _PLAIN.fullmatch(name) else "of no known name"
            raise InputError(
                f"the database URL has a parameter {shown} {'twice' if name in found else 'that is not known'}; "
                f"allowed are {', '.join(_PARAMETERS)}, each once"
            )
        found[name] = value
    return found


def _host(split: SplitResult, given: Mapping[str, str]) -> str:
    directory = given.get("host")
    if directory is None:
        host = unquote(split.hostname or "")
        if not host or "," in host or host.startswith("/"):
            found = "several hosts" if "," in host else "no host"
            raise InputError(f"the database URL names {found}; give {_FORM}")
        return host
    if split.hostname or not directory.startswith("/"):
        raise InputError(
            "the parameter host of the database URL is the absolute path of the directory of a local socket, as in "
            "postgresql://user@/database?host=/run/postgresql"
        )
    return directory


def _this_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError(f"the database URL names no user, and this process has no name; give {_FORM}") from None


def _is_near(host: str) -> bool:
    """Return whether the host is this machine, so that no other one can listen."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _choice(given: Mapping[str, str], name: str, allowed: Mapping[str, _T], default: _T) -> _T:
    text = given.get(name)
    if text is None:
        return default
    if text not in allowed:
        raise InputError(f"the parameter {name} of the database URL is {text!r}; allowed are {', '.join(allowed)}")
    return allowed[text]


def _certificate(path: str) -> str:
    if path and not Path(path).is_file():
        raise InputError(f"the parameter sslrootcert of the database URL names {path}, which is no file")
    return path


def _notes(access: Access) -> tuple[str, ...]:
    to = f"the connection to {access.host}"
    if access.tls == "disable":
        return (f"{to} is not encrypted (sslmode=disable): others can read and change what goes over it",)
    if access.tls == "require":
        return (f"{to} is encrypted, but who answers is not verified (sslmode=require): give sslmode=verify-full",)
    return ()


def _password(environ: Mapping[str, str]) -> str:
    password, file = environ.get(PASSWORD, ""), environ.get(PASSWORD_FILE, "")
    if password and file:
        raise InputError(f"{PASSWORD} and {PASSWORD_FILE} are both set; set one of them")
    return _password_of(Path(file)) if file else password


def _password_of(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{PASSWORD_FILE} names {path}, which is no regular file")
            if found.st_mode & _OTHERS_MAY_READ:
                raise InputError(
                    f"{PASSWORD_FILE} names {path}, which others than its owner may use (mode "
                    f"{stat.S_IMODE(found.st_mode):04o}); allow it to its owner alone: chmod 600 {path}"
                )
            text = file.read(4096).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{PASSWORD_FILE} names {path}, which cannot be read: {reason}") from None
    if not text:
        raise InputError(f"{PASSWORD_FILE} names {path}, which is empty; write the password into it")
    return text
