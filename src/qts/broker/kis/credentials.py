"""The way to an account at KIS: keys, account number and HTS ID, from the environment or a private file.

``QTS_KIS_PAPER_…`` and ``QTS_KIS_LIVE_…`` are two sets that never stand for each other: ``…_APP_KEY``,
``…_APP_SECRET``, ``…_ACCOUNT`` (12345678-01) and ``…_HTS_ID``. ``QTS_KIS_PAPER_FILE`` or ``QTS_KIS_LIVE_FILE``
names a file that is its owner's alone and holds them in place of the environment, as lines ``app_key = …``. No
message, no ``repr`` and no text of any of these values shows one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from qts.access import private_text
from qts.broker.kis.config import Account, KisConfig
from qts.errors import InputError

MASK: Final = "***"
_NAMES: Final = ("app_key", "app_secret", "account", "hts_id")
_ACCOUNT: Final = re.compile(r"(\d{8})-?(\d{2})")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_MOST_BYTES: Final = 8_192


class Secret:
    """A text that is shown nowhere: its ``repr``, ``str`` and format are a mask, and it cannot be serialised.

    :meth:`reveal` returns it, for what is sent to KIS alone.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that tell it from others and from which it cannot be found."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


class AccountNumber:
    """The number of an account (eight digits) and of its product (two); its text shows its ends alone."""

    __slots__ = ("_number", "_product")

    def __init__(self, number: str, product: str) -> None:
        self._number, self._product = number, product

    def reveal(self) -> tuple[str, str]:
        """Return number and product themselves, for what is sent to KIS."""
        return self._number, self._product

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccountNumber) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __repr__(self) -> str:
        return f"{self._number[:2]}****{self._number[-2:]}-{self._product}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an account number is not written anywhere")


class KisAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one account, checked. ``rest`` and ``websocket``: where it is, without a slash at the end.

    ``hts_id``: the login under which notices of fills are subscribed to; an empty one where none was given.
    """

    account: Account
    number: AccountNumber
    app_key: Secret
    app_secret: Secret
    hts_id: Secret
    rest: str
    websocket: str

    @property
    def is_live(self) -> bool:
        """Return whether it trades real money."""
        return self.account == "live"

    @property
    def name(self) -> str:
        """Return what the broker is called: kis-live or kis-paper."""
        return f"kis-{self.account}"


def access_of(config: KisConfig, environ: Mapping[str, str], *, live: bool) -> KisAccess:
    """Return the way to the account that is asked for: ``live``, or paper.

    A live account needs both, ``live`` from who asks and ``broker.kis.account: live`` in the settings. Raises
    InputError for one without the other, and where something is missing or none; it shows no secret.
    """
    if live and config.account != "live":
        raise InputError(
            "the live account of KIS was asked for, and broker.kis.account is paper; to trade real money set it to "
            "live in config/broker.yaml as well, else ask for the paper account"
        )
    account: Account = "live" if live else "paper"
    given = _given(account, environ)
    return KisAccess(
        account=account,
        number=_account_number(account, given["account"]),
        app_key=Secret(given["app_key"]),
        app_secret=Secret(given["app_secret"]),
        hts_id=Secret(given["hts_id"]),
        rest=(config.live_rest if live else config.paper_rest).rstrip("/"),
        websocket=(config.live_websocket if live else config.paper_websocket).rstrip("/"),
    )


def _given(account: Account, environ: Mapping[str, str]) -> dict[str, str]:
    prefix = f"QTS_KIS_{account.upper()}_"
    file = environ.get(f"{prefix}FILE", "")
    found = {name: environ.get(prefix + name.upper(), "").strip() for name in _NAMES}
    if file:
        if any(found.values()):
            raise InputError(
                f"{prefix}FILE and other variables that begin with {prefix} are both set; give the file alone, or "
                "none"
            )
        found |= _from_file(Path(file), f"{prefix}FILE")
    missing = [name for name in ("app_key", "app_secret", "account") if not found[name]]
    if missing:
        wanted = ", ".join(prefix + name.upper() for name in missing)
        raise InputError(
            f"the {account} account of KIS cannot be used: {wanted} "
            f"{'are' if len(missing) > 1 else 'is'} missing; set {'them' if len(missing) > 1 else 'it'}, or name a "
            f"file with {', '.join(_NAMES)} in {prefix}FILE"
        )
    for name, text in found.items():
        if text and not _PRINTABLE.fullmatch(text):
            raise InputError(f"{prefix}{name.upper()} has a character that no key has; copy it again")
    return found


def _from_file(path: Path, variable: str) -> dict[str, str]:
    content = "lines such as app_key = …"
    found: dict[str, str] = {}
    for number, line in enumerate(private_text(path, variable, content, _MOST_BYTES).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, mark, text = line.partition("=")
        name = name.strip().lower()
        if not mark or name not in _NAMES or name in found:
            raise InputError(
                f"{variable} names {path}, whose line {number} is none of {', '.join(_NAMES)}, each once, as "
                f"{content}"
            )
        found[name] = text.strip().strip("\"'")
    return found


def _account_number(account: Account, text: str) -> AccountNumber:
    match = _ACCOUNT.fullmatch(text)
    if match is None:
        raise InputError(
            f"QTS_KIS_{account.upper()}_ACCOUNT is no account number; allowed are eight digits, a dash and two "
            "digits, as 12345678-01"
        )
    return AccountNumber(match[1], match[2])
