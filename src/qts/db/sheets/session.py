"""Signs in with google-auth and sends calls; blocks, so all of it runs on a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import google.auth.exceptions as auth
import requests
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.service_account import Credentials

from qts.access import is_near
from qts.db.sheets.access import CREDENTIALS, SheetsAccess
from qts.db.sheets.cutting import CuttableAdapter
from qts.db.sheets.failures import Answer, SheetsUnavailable, not_signed_in
from qts.errors import InputError

_SCOPE: Final = "https://www.googleapis.com/auth/spreadsheets"
_CONNECT_S: Final = 10.0
_MOST_BYTES: Final = 64 << 20
"""Bytes of the longest answer that is read."""
_CHUNK: Final = 1 << 16


class Sender(Protocol):
    """A way of sending calls; every method may block."""

    def send(self, method: str, url: str, body: bytes | None, what: str) -> Answer:
        """Return the answer. Raises Unavailable for none, InputError when the credentials are refused."""
        ...

    def cut(self) -> None:
        """End the call that is under way, if its connection can be cut; the one method for another thread."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


class SignedSession:
    """A session of the service account of ``access`` at ``base_url``; a read of an answer may take ``timeout_s``.

    Raises InputError for a key that is none.
    """

    def __init__(self, access: SheetsAccess, base_url: str, timeout_s: float) -> None:
        self._access = access
        self._timeout = min(_CONNECT_S, timeout_s), timeout_s
        signing = requests.Session()
        signing.trust_env = _may_pass_proxies(access.info["token_uri"])
        try:
            self._credentials = Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                dict(access.info), scopes=[_SCOPE]
            )
        except (ValueError, auth.GoogleAuthError):
            # Not shown: what the library says of a damaged key may be a part of it.
            raise InputError(
                f"{CREDENTIALS} names {access.path}, whose private_key is none; make a new key of the account"
            ) from None
        self._signing = signing
        self._session: Any = AuthorizedSession(  # type: ignore[no-untyped-call]
            self._credentials, refresh_status_codes=(), auth_request=Request(signing)
        )
        self._session.trust_env = _may_pass_proxies(base_url)
        self._session.auth = _signed_already
        self._cuttable = CuttableAdapter()
        for one in (self._session, signing):
            one.mount("https://", self._cuttable)
            one.mount("http://", self._cuttable)

    def send(self, method: str, url: str, body: bytes | None, what: str) -> Answer:
        """Return the answer of one call. Raises Unavailable and InputError, see :class:`Sender`."""
        access = self._access
        try:
            answer = self._answer(method, url, body)
            if answer.status == requests.codes.unauthorized:
                self._credentials.token = None  # the server has forgotten it: it is signed in again, once
                answer = self._answer(method, url, body)
            return answer
        except auth.RefreshError as error:
            if error.retryable:
                raise SheetsUnavailable(_away(access, what, "the server that signs in does not answer")) from None
            raise not_signed_in(access, what, _code(error)) from None
        except (requests.Timeout, auth.TimeoutError):
            raise SheetsUnavailable(_away(access, what, f"no answer within {self._timeout[1]:g} s")) from None
        except (requests.RequestException, auth.GoogleAuthError, OSError) as error:
            raise SheetsUnavailable(_away(access, what, f"it cannot be reached ({type(error).__name__})")) from None

    def _answer(self, method: str, url: str, body: bytes | None) -> Answer:
        with self._session.request(
            method,
            url,
            data=body,
            headers={} if body is None else {"Content-Type": "application/json"},
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            return Answer(response.status_code, response.headers.get("Retry-After", ""), _content(response))

    def cut(self) -> None:
        """End the call that is under way, if its connection can be cut; on any thread."""
        self._cuttable.cut()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()
        self._signing.close()


def _signed_already(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request as it is: nothing of ``~/.netrc`` takes the place of its token."""
    return request


def _may_pass_proxies(url: str) -> bool:
    """Return whether the proxies of the environment are for ``url``: they do not lead to this machine."""
    return not is_near(urlsplit(url).hostname or "")


def _content(response: Any) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_content(_CHUNK):
        size += len(part)
        if size > _MOST_BYTES:
            raise SheetsUnavailable(f"an answer of Google Sheets is longer than {_MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _code(error: auth.RefreshError) -> str:
    """Return the code of a refusal, as far as it is one that may be shown."""
    details = error.args[1] if len(error.args) > 1 else None
    code = details.get("error") if isinstance(details, Mapping) else None
    return code if isinstance(code, str) and code.isidentifier() and len(code) <= 40 else "no code"


def _away(access: SheetsAccess, what: str, why: str) -> str:
    return f"spreadsheet {access.spreadsheet_id}: cannot {what}: {why}"
