"""Makes the adapters of KIS: the one place that imports its HTTP client, and only when an adapter is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qts.broker.account_lock import AccountLock
from qts.broker.kis.config import Exchange, KisConfig
from qts.broker.kis.credentials import KisAccess, access_of
from qts.broker.kis.pauses import Pace, Pause, pause_on
from qts.clock import Clock
from qts.errors import MissingExtraError
from qts.files import user_cache

if TYPE_CHECKING:
    from qts.broker.kis.broker import KisBroker, Notices
    from qts.broker.kis.known import KnownOrders
    from qts.broker.kis.rest import KisRest

_DIRECTORY = "kis"


class KisParts(msgspec.Struct, frozen=True):
    """The parts that every connection to one account shares: its access, its pace, and the file of its token.

    A connection (:meth:`rest`) belongs to one event loop; those of several share pace and token.
    """

    access: KisAccess
    config: KisConfig
    clock: Clock
    pause: Pause
    pace: Pace
    token_file: Path | None
    tell: Callable[[str], object]

    @property
    def requests_per_s(self) -> int:
        """Return how many requests are made in a second."""
        return self.config.live_requests_per_s if self.access.is_live else self.config.paper_requests_per_s

    @property
    def exchange(self) -> Exchange:
        """Return where orders go that name no exchange."""
        return self.config.exchange if self.access.is_live else "KRX"

    def rest(self) -> KisRest:
        """Make a connection for one event loop. Raises MissingExtraError."""
        require_client()
        from qts.broker.kis.rest import KisRest
        from qts.broker.kis.token import TokenFile

        file = TokenFile(self.token_file)
        return KisRest(
            self.access, self.clock, self.pause, file, pace=self.pace, answer_s=self.config.answer_s, tell=self.tell
        )

    def broker(self, make_notices: Callable[[KisRest, KnownOrders], Notices] | None = None) -> KisBroker:
        """Make the broker. ``make_notices`` makes what tells of fills; None: only lists tell. Raises
        MissingExtraError.
        """
        rest = self.rest()
        from qts.broker.kis.broker import KisBroker, NoNotices
        from qts.broker.kis.known import KnownOrders

        known = KnownOrders()
        return KisBroker(
            rest,
            self.clock,
            exchange=self.exchange,
            requests_per_s=self.requests_per_s,
            visibility_lag_s=self.config.visibility_lag_s,
            known=known,
            notices=NoNotices() if make_notices is None else make_notices(rest, known),
            lock=None if make_notices is None else self._session_lock(),
            pause=self.pause,
            tell=self.tell,
        )

    def _session_lock(self) -> AccountLock | None:
        """Return what keeps a second session from the account; None where nothing can be kept for the user."""
        file = self.token_file
        return None if file is None else AccountLock(file.with_suffix(".session"), str(self.access.number))


def parts_of(
    config: KisConfig,
    environ: Mapping[str, str],
    clock: Clock,
    *,
    live: bool,
    tell: Callable[[str], object],
    pause: Pause | None = None,
) -> KisParts:
    """Return what the connections to an account share: the ``live`` one, or the paper account.

    ``tell`` is called, on any loop, with sentences for people. Raises MissingExtraError, and InputError as
    :func:`~qts.broker.kis.credentials.access_of` does.
    """
    require_client()
    access = access_of(config, environ, live=live)
    pause = pause or pause_on(clock)
    per_s = config.live_requests_per_s if live else config.paper_requests_per_s
    directory = user_cache(environ, _DIRECTORY)
    name = f"token-{access.account}-{_name_of(access)}.json"
    file = None if directory is None else directory / name
    return KisParts(access, config, clock, pause, Pace(per_s, clock, pause), file, tell)


def require_client() -> None:
    """Raise MissingExtraError without the HTTP client and the cipher of KIS."""
    try:
        import aiohttp  # noqa: F401
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "cryptography"):
            raise
        raise MissingExtraError("KIS", "kis") from None


def _name_of(access: KisAccess) -> str:
    """Return what tells the token of a key at a host from others, without either."""
    return hashlib.sha256(f"{access.rest} {access.app_key.fingerprint}".encode()).hexdigest()[:16]
