"""The errors that answers of the API mean: whose affair each is, and what to do about it."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import msgspec

from qts.clock import Clock
from qts.db.sheets.access import CREDENTIALS, SheetsAccess
from qts.errors import InputError, QtsError, StorageError, Unavailable

_TRANSIENT: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
_QUOTA: Final = re.compile(r"quota|rate.?limit", re.IGNORECASE)
_ROWS: Final = re.compile(r"Max rows: (\d+)")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_MOST_TEXT: Final = 200


class SheetsUnavailable(Unavailable):
    """A spreadsheet does not answer now, or its quota is used up; see :class:`~qts.errors.Unavailable`."""


class TabMissing(StorageError):
    """A tab that a range names is not there."""


class TabExists(StorageError):
    """A tab that was to be made, or its number, is there already."""


class GridTooSmall(StorageError):
    """A range ends outside of its tab. ``rows``: how many the tab has, 0 when that was not said."""

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


class Answer(NamedTuple):
    """An answer of the API. ``retry_after``: the header of that name, "" for none."""

    status: int
    retry_after: str
    body: bytes


class _Details(msgspec.Struct, frozen=True):
    message: str = ""
    status: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: _Details = _Details()


def error_of(access: SheetsAccess, what: str, answer: Answer) -> QtsError:
    """Return the error that an answer means; Unavailable for one that may be another one later.

    ``what`` was tried, as a verb and its object.
    """
    told = _told(answer)
    text = _UNPRINTABLE.sub(" ", told.message)[:_MOST_TEXT].strip()
    tried = f"spreadsheet {access.spreadsheet_id}: cannot {what}"
    found = f"{answer.status} {told.status}".strip() + (f", {text}" if text else "")
    if answer.status in _TRANSIENT or (answer.status == 403 and _is_quota(told)):
        return SheetsUnavailable(f"{tried}: Google Sheets answers {found}")
    if answer.status == 400:
        special = _of_bad_request(f"{tried}: {found}", told.message)
        if special is not None:
            return special
    return InputError(f"{tried} ({found}); {_advice(access, answer.status, told)}")


def asked_pause_s(retry_after: str, clock: Clock) -> float:
    """Return how long a header ``Retry-After`` asks to wait, in s; 0 for none and for what is none."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max((parsedate_to_datetime(text) - clock.now()).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def not_signed_in(access: SheetsAccess, what: str, code: str) -> InputError:
    """Return the error of credentials that are refused, with the ``code`` of the refusal."""
    return InputError(
        f"spreadsheet {access.spreadsheet_id}: cannot {what}: the credentials of {access.account} are refused "
        f"({code}); allowed is a valid key of a service account; make a new one and name its file in {CREDENTIALS}"
    )


def _told(answer: Answer) -> _Details:
    try:
        return msgspec.json.decode(answer.body, type=_Body).error
    except msgspec.DecodeError:
        return _Details()


def _is_quota(told: _Details) -> bool:
    return told.status == "RESOURCE_EXHAUSTED" or _QUOTA.search(told.message) is not None


def _of_bad_request(message: str, text: str) -> StorageError | None:
    if "Unable to parse range" in text:
        return TabMissing(message)
    if "exceeds grid limits" in text:
        rows = _ROWS.search(text)
        return GridTooSmall(message, int(rows[1]) if rows else 0)
    if "already exists" in text:
        return TabExists(message)
    return None


def _advice(access: SheetsAccess, status: int, told: _Details) -> str:
    """Return what is allowed and what to do."""
    text = told.message
    if "protected" in text:
        return (
            f"allowed is a tab that {access.account} may edit; remove the protection, or rename the tab: a new one "
            "is made then"
        )
    if "number of cells" in text or "10000000" in text:
        return (
            "allowed are 10,000,000 cells; delete tabs that are no longer needed, or give a new spreadsheet with "
            "--sheets ID"
        )
    if status == 401:
        return f"allowed is a valid key of a service account; make a new one and name its file in {CREDENTIALS}"
    if status == 403 and ("has not been used" in text or "disabled" in text):
        return "allowed is a project with the Google Sheets API; enable it in the project of the service account"
    if status == 403:
        return f"allowed is an editor of the spreadsheet; share it with {access.account} as an editor"
    if status == 404:
        return (
            f"allowed is a spreadsheet that is there and shared with {access.account}; check its id, or share it "
            "with an editor's right"
        )
    return "allowed is what the API of Google Sheets takes; look whether base_url in config/sheets.yaml is right"
