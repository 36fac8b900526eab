"""The access token: one for all processes of a user, in a private file, renewed before it expires.

KIS gives a token for a day, the same one again within six hours, and none within a minute of the last request: each
process that asked for its own would lock the others out, and sends a message to the customer's telephone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from qts.broker.kis.credentials import Secret
from qts.broker.kis.pauses import Pause
from qts.clock import NS_PER_S, Clock
from qts.errors import BrokerUnavailable
from qts.files import in_place_opener, private_opener, write_atomically

EARLY_NS: Final = 30 * 60 * NS_PER_S
"""How long before its end a token is renewed."""
_SURE_NS: Final = 60 * NS_PER_S
"""A token that ends earlier than this is not used: clocks differ."""
BETWEEN_ISSUES_NS: Final = 61 * NS_PER_S
"""The time between two requests for a token; KIS takes one a minute."""
_LOOK_S: Final = 0.05
"""How often a process looks whether another one is done with the file."""
_MOST_BYTES: Final = 16_384
_OTHERS_MAY_USE: Final = 0o077
_DIRECTORY_MODE: Final = 0o700


class IssuedToken(NamedTuple):
    """A token and when it ends, ns since 1970 (UTC)."""

    text: Secret
    expires_ns: int
    asked_ns: int | None = None
    """When it was asked for; None while that is not known."""


class IssuedTooSoon(Exception):
    """KIS refuses a token because the last request for one was less than a minute ago."""


class _Stored(msgspec.Struct, frozen=True):
    """The content of the file: ``token`` "" while there is none; ``asked_ns``: when one was last asked for."""

    token: str = ""
    expires_ns: int = 0
    asked_ns: int = 0


class TokenFile:
    """The file of the token of one application key at one host, and the lock that processes share.

    ``path`` None: nothing is kept, so that each process asks for a token of its own.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = _Stored()

    @contextlib.asynccontextmanager
    async def locked(self, pause: Pause) -> AsyncIterator[None]:
        """Hold the lock for the block. Raises BrokerUnavailable where the directory cannot be used."""
        if self._path is None:
            yield
            return
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            lock = in_place_opener(f"{self._path}.lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise BrokerUnavailable(f"the token of KIS cannot be kept in {self._path}: {error.strerror}") from None
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await pause(_LOOK_S)
            yield
        finally:
            os.close(lock)

    def read(self) -> _Stored:
        """Return what is stored; nothing where the file is missing, damaged or not its owner's alone."""
        if self._path is None:
            return self._kept
        try:
            with open(self._path, "rb", opener=private_opener) as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_USE:
                    return _Stored()
                return msgspec.json.decode(file.read(_MOST_BYTES), type=_Stored)
        except (OSError, msgspec.DecodeError):
            return _Stored()

    def write(self, stored: _Stored) -> None:
        """Replace what is stored. Raises BrokerUnavailable."""
        if self._path is None:
            self._kept = stored
            return
        try:
            write_atomically(self._path, msgspec.json.encode(stored))
        except OSError as error:
            raise BrokerUnavailable(f"the token of KIS cannot be kept in {self._path}: {error.strerror}") from None


class AccessTokens:
    """The token that every call carries. On one event loop.

    ``issue`` asks KIS for one; it raises IssuedTooSoon and BrokerUnavailable. ``tell`` is called with a sentence
    for people when one has to be waited for.
    """

    def __init__(
        self,
        issue: Callable[[], Awaitable[IssuedToken]],
        file: TokenFile,
        clock: Clock,
        pause: Pause,
        tell: Callable[[str], object],
    ) -> None:
        self._issue, self._file = issue, file
        self._clock, self._pause, self._tell = clock, pause, tell
        self._token: IssuedToken | None = None
        self._refused: set[str] = set()
        """Fingerprints of tokens that KIS has refused; a handful."""
        self._one_by_one = asyncio.Lock()

    def present(self) -> Secret | None:
        """Return the token that is known and has not ended, without asking for any; None for none."""
        token = self._token
        if token is None or token.expires_ns - self._clock.time_ns() < _SURE_NS:
            return None
        return token.text

    @property
    def life_ns(self) -> int | None:
        """Return how long the token in use lives, from when it was given; None without one, or not known."""
        token = self._token
        return None if token is None or token.asked_ns is None else token.expires_ns - token.asked_ns

    async def token(self) -> Secret:
        """Return a token that has not ended, and renew it when it ends soon.

        Raises BrokerUnavailable where KIS gives none.
        """
        token = self._token
        if token is not None and token.expires_ns - self._clock.time_ns() >= EARLY_NS:
            return token.text
        async with self._one_by_one:
            try:
                return (await self._renewed()).text
            except BrokerUnavailable:
                present = self.present()
                if present is None:
                    raise
                return present

    def refuse(self, token: Secret) -> None:
        """Note that KIS has refused ``token``: it is not used again, in this process or another."""
        if len(self._refused) > 8:
            self._refused.clear()
        self._refused.add(token.fingerprint)
        if self._token is not None and self._token.text == token:
            self._token = None

    async def _renewed(self) -> IssuedToken:
        """Return the token of the file when it is good, else a new one. Raises BrokerUnavailable."""
        while True:
            async with self._file.locked(self._pause):
                found = self._file.read()
                now_ns = self._clock.time_ns()
                if self._is_good(found, now_ns):
                    self._token = IssuedToken(Secret(found.token), found.expires_ns, found.asked_ns or None)
                    return self._token
                asked_ns = min(found.asked_ns, now_ns)  # a clock that was set back makes no longer wait
                wait_ns = asked_ns + BETWEEN_ISSUES_NS - now_ns if found.asked_ns else 0
                if wait_ns <= 0:
                    self._file.write(msgspec.structs.replace(found, asked_ns=now_ns))
                    try:
                        token = (await self._issue())._replace(asked_ns=now_ns)
                    except IssuedTooSoon:
                        wait_ns = BETWEEN_ISSUES_NS
                    else:
                        self._refused.clear()
                        self._file.write(_Stored(token.text.reveal(), token.expires_ns, now_ns))
                        self._token = token
                        return token
            seconds = -(-wait_ns // NS_PER_S)
            if self.present() is not None:
                raise BrokerUnavailable(f"KIS gives a new token in {seconds} s at the earliest")
            self._tell(f"KIS gives one token a minute: the next one is asked for in {seconds} s")
            await self._pause(wait_ns / NS_PER_S)

    def _is_good(self, found: _Stored, now_ns: int) -> bool:
        if not found.token or Secret(found.token).fingerprint in self._refused:
            return False
        return found.expires_ns - now_ns >= EARLY_NS
