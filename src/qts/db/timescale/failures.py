"""Explains what a server or the way to it refuses: whose affair it is, what was tried, and what to do."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

import asyncpg

from qts.db.access import PASSWORD, PASSWORD_FILE
from qts.errors import BatchRefused, Fenced, InputError, QtsError, StorageError, Unavailable
from qts.wording import printable

GAP: Final = "QTGAP"
FENCED: Final = "QTFEN"
OTHER_ACCOUNT: Final = "QTACC"
"""Codes that the functions of the schema refuse with."""

Failure = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
    TimeoutError,
)
"""All that a call of a connection raises: refusals, use of one that has ended or ends under it, networks, and late
answers."""

_TIMEOUT: Final = "57014"
_AGAIN: Final = frozenset({"40001", "40P01"})
"""Codes for a transaction that was chosen to end so that others can go on: it may be tried a second time."""
_REFUSED: Final = ("22", "23")
"""Classes of codes for values that a column or a constraint does not take."""
_NUMBERS: Final = re.compile(r"\[Errno (\d+)\]")
_MIGRATE: Final = "run qts db migrate on it first"
_ROLES: Final = "let the owner of the schema grant this user qts_write to write, or qts_read to read"
_INPUT: Final = {
    "28P01": f"give the right password in {PASSWORD}, in a file named by {PASSWORD_FILE}, or in ~/.pgpass",
    "28000": "let the server's pg_hba.conf allow this user to connect, and give the user that was meant",
    "3D000": "give the name of a database that exists, or make it with createdb",
    "3F000": _MIGRATE,
    "42P01": _MIGRATE,
    "42883": _MIGRATE,
    "42703": _MIGRATE,
    "42501": _ROLES,
    "0A000": "use PostgreSQL 15 to 18",
    "42P05": "a pooler stands between: add pooler=transaction to the URL, or give the server's own port",
    "26000": "a pooler stands between: add pooler=transaction to the URL, or give the server's own port",
    "08P01": "a pooler stands between: add pooler=transaction to the URL, or give the server's own port",
}
"""What to do about what only a person can put right, by code."""


class TooLong(Unavailable):
    """A statement took longer than it may; less of the same may be done in time."""


def is_worth_another_try(error: BaseException) -> bool:
    """Return whether the server ended the transaction in favour of another one."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _AGAIN


def is_refusal(error: BaseException) -> bool:
    """Return whether the server refuses a value of what it was sent."""
    if isinstance(error, asyncpg.PostgresError):
        return bool(error.sqlstate) and error.sqlstate[:2] in _REFUSED
    return isinstance(error, asyncpg.exceptions.DataError)


def explained(error: BaseException, where: str, what: str) -> QtsError:
    """Return the error of QTS for one of :data:`Failure`; ``where`` and ``what`` was tried are named in it."""
    text = f"{where}: cannot {what}: {_one_line(error)}"
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        if code == FENCED:
            return Fenced(f"{text}; a run and an account have one writer: stop one of the two")
        if code == OTHER_ACCOUNT:
            return BatchRefused(text)
        if code in _INPUT:
            return InputError(f"{text}; {_INPUT[code]}")
        if is_refusal(error):
            return BatchRefused(text)
        return TooLong(text) if code == _TIMEOUT else Unavailable(text)
    if isinstance(error, asyncpg.exceptions.DataError):
        return BatchRefused(text)
    if isinstance(error, ssl.SSLError) or "rejected SSL" in text:
        return InputError(
            f"{text}; give the server a certificate that its authorities have signed for this host, name the file "
            "of the authority with sslrootcert=, or choose less with sslmode= (docs/guides/postgres.md)"
        )
    return Unavailable(text)


def late(where: str, what: str, seconds: float) -> Unavailable:
    """Return the error for an answer that did not come in time."""
    return Unavailable(f"{where}: cannot {what}: no answer within {seconds:g} s; the connection was ended")


def unexpected(where: str, what: str, found: object) -> StorageError:
    """Return the error for a row that is not what was written."""
    return StorageError(f"{where}: {what} cannot be what was written ({found}); restore the database from a backup")


def _one_line(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        parts = [str(getattr(error, name, None) or "") for name in ("message", "detail")]
        text = "; ".join(part for part in parts if part) or str(error)
        code = error.sqlstate
        return f"{printable(_joined(text))} ({code})"
    text = printable(_joined(str(error)))
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        text = _of_the_network(error, text)
    if text:
        return text
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection was cut" if isinstance(error, OSError | EOFError) else type(error).__name__


def _of_the_network(error: OSError, text: str) -> str:
    """Return what the system says, without the numbers and addresses that an event loop puts around it."""
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror or text})"
    numbers = [error.errno] if error.errno else [int(number) for number in _NUMBERS.findall(text)]
    return " and ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers)) or text


def _joined(text: str) -> str:
    return " ".join(text.split())
