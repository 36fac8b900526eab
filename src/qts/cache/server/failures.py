"""Explains what a cache server or the way to it refuses: whose affair it is, what was tried, and what to do."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

from redis import exceptions as of_redis

from qts.cache.access import PASSWORD, PASSWORD_FILE
from qts.errors import InputError, QtsError, Unavailable
from qts.wording import printable

Failure = (of_redis.RedisError, OSError, EOFError)
"""All that a call of a connection raises: refusals, use of one that ended, networks, and late answers."""
RIGHTS: Final = "+@read +@write +@scripting +@connection +cluster|slots"
"""What an ACL has to allow, beside the keys."""
_PASSING: Final = (
    of_redis.BusyLoadingError,
    of_redis.ClusterDownError,
    of_redis.NoScriptError,
    of_redis.ReadOnlyError,
    of_redis.TryAgainError,
    of_redis.AskError,  # also the one that says for good where a key is
)
_PASSING_CODES: Final = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED"})
"""States of a server in which it refuses what it takes at other times."""
_NUMBERS: Final = re.compile(r"\[Errno (\d+)\]|\bError (\d+) ")
_ENDED: Final = ("Connection closed by server", "Connection lost")
_CERTIFICATE: Final = (
    "give the server a certificate that its authorities have signed for this host, name the file of the authority "
    "with tlsrootcert=, or choose less with tls="
)


def is_passing(error: BaseException) -> bool:
    """Return whether the server may do later what it refuses now."""
    return isinstance(error, _PASSING) or (
        isinstance(error, of_redis.ResponseError) and str(error).split(" ", 1)[0] in _PASSING_CODES
    )


def explained(error: BaseException, where: str, what: str) -> QtsError:
    """Return the error of QTS for one of :data:`Failure`; ``where`` and ``what`` was tried are named in it."""
    text = f"{where}: cannot {what}: {_one_line(error)}"
    if isinstance(error, of_redis.AuthenticationError):
        return InputError(
            f"{text}; give the right user in the URL, and its password in {PASSWORD} or {PASSWORD_FILE}"
        )
    if isinstance(error, of_redis.NoPermissionError):
        return InputError(
            f"{text}; let the ACL of the server give this user its keys, such as ~qts:*, and {RIGHTS}"
        )
    if isinstance(error, of_redis.OutOfMemoryError):
        return InputError(
            f"{text}; give the server a larger maxmemory, or maxmemory-policy volatile-ttl so that it makes room"
        )
    if is_passing(error):
        return Unavailable(text)
    if isinstance(error, of_redis.InvalidResponse):
        return InputError(f"{text}; give the URL of a Redis or Valkey server")
    if isinstance(error, of_redis.ResponseError):
        return InputError(f"{text}; {_what_to_do(str(error))}")
    if _cause(error, ssl.SSLError) is not None:
        return InputError(f"{text}; {_CERTIFICATE}")
    return Unavailable(text)


def late(where: str, what: str, seconds: float) -> Unavailable:
    """Return the error for an answer that did not come in time."""
    return Unavailable(f"{where}: cannot {what}: no answer within {seconds * 1_000:,.0f} ms")


def _what_to_do(refusal: str) -> str:
    if "DB index" in refusal or "SELECT is not allowed" in refusal:
        return "give a number of a database that the server has; a cluster has 0"
    if refusal.startswith("DENIED"):
        return "let the server take connections of other machines, with a password: it runs in its protected mode"
    if refusal.startswith("WRONGTYPE"):
        return "another program has put something else there: choose another cache.prefix"
    if "HELLO" in refusal:
        return "use Redis 7.2 or Valkey 8, or newer"
    return "look into the log of the server"


def _cause(error: BaseException, kind: type[OSError]) -> OSError | None:
    """Return the error of a network behind one of redis-py, which keeps its text alone."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__ or found.__context__
    return found


def _one_line(error: BaseException) -> str:
    network = None if isinstance(error, of_redis.ResponseError) else _cause(error, OSError)
    if isinstance(network, ssl.SSLError):
        return printable(_joined(network.reason or str(network)).lower().replace("_", " "))
    if network is not None:
        return _of_the_network(network)
    text = printable(_joined(str(error))).removesuffix(".")
    return text if text and text not in _ENDED else "the connection was ended"


def _of_the_network(error: OSError) -> str:
    """Return what the system says, without the numbers and addresses that an event loop puts around it."""
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    numbers = [error.errno] if error.errno else [int(a or b) for a, b in _NUMBERS.findall(str(error))]
    text = " and ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers))
    text = text or printable(_joined(str(error)))
    return text if text and text not in _ENDED else "the connection was ended"


def _joined(text: str) -> str:
    return " ".join(text.split())
