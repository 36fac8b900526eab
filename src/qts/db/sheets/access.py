"""The way to a spreadsheet of Google Sheets, read from its URL and the environment.

The URL has the id alone. What signs in is the key file of a service account, named by ``QTS_SHEETS_CREDENTIALS``
and its owner's alone. No message and no ``repr`` shows what is in it, but for the address of the account, with
which the spreadsheet has to be shared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.access import is_safe, private_text
from qts.errors import InputError

CREDENTIALS: Final = "QTS_SHEETS_CREDENTIALS"
_ID: Final = re.compile(r"sheets://([A-Za-z0-9_-]{1,128})/?", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._@-]{1,200}")
_MOST_BYTES: Final = 1 << 16
_KEY_FILE: Final = "the JSON key of a service account"
_ALLOWED: Final = "give sheets://ID with the ID that stands between /d/ and /edit in the spreadsheet's address"
_PARTS: Final = ("client_email", "private_key", "token_uri")


class SheetsAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a spreadsheet, checked. ``info`` is the content of the key file at ``path``."""

    spreadsheet_id: str
    path: Path
    info: Mapping[str, Any]

    @property
    def account(self) -> str:
        """Return the address of the service account."""
        return str(self.info["client_email"])

    def __repr__(self) -> str:
        return f"SheetsAccess({self.spreadsheet_id!r}, account={self.account!r})"


def spreadsheet_of(url: str) -> str:
    """Return the id that a URL names. Raises InputError."""
    found = _ID.fullmatch(url)
    if found is None:
        raise InputError(f"the URL of the spreadsheet names no id; {_ALLOWED}")
    return found[1]


def access_of(url: str, environ: Mapping[str, str]) -> SheetsAccess:
    """Return the way to the spreadsheet that ``url`` names, with the credentials that ``environ`` names.

    Raises InputError, which shows nothing of the key file.
    """
    spreadsheet_id = spreadsheet_of(url)
    named = environ.get(CREDENTIALS, "")
    if not named:
        raise InputError(
            f"the spreadsheet needs credentials, and {CREDENTIALS} is not set; set it to the path of {_KEY_FILE}"
        )
    path = Path(named)
    return SheetsAccess(spreadsheet_id=spreadsheet_id, path=path, info=_info(path))


def _info(path: Path) -> Mapping[str, Any]:
    text = private_text(path, CREDENTIALS, _KEY_FILE, _MOST_BYTES)
    try:
        info = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise InputError(f"{CREDENTIALS} names {path}, which is no JSON; it has to be {_KEY_FILE}") from None
    if info.get("type") != "service_account":
        raise InputError(
            f"{CREDENTIALS} names {path}, which is of another kind of account; it has to be {_KEY_FILE}"
        )
    lacking = [name for name in _PARTS if not isinstance(info.get(name), str) or not info[name]]
    if lacking:
        raise InputError(f"{CREDENTIALS} names {path}, which lacks {', '.join(lacking)}; it has to be {_KEY_FILE}")
    if not _ADDRESS.fullmatch(info["client_email"]):
        raise InputError(f"{CREDENTIALS} names {path}, whose client_email is no address of a service account")
    if not is_safe(info["token_uri"]):
        raise InputError(f"{CREDENTIALS} names {path}, whose token_uri is not https://HOST/…")
    return info
