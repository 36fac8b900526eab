"""The answers of KIS as values: the envelope of every call, and the numbers and times in it, which are texts."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple, NoReturn, TypeVar

import msgspec

from qts.clock import NS_PER_S, to_ns
from qts.errors import BrokerUnavailable, ContractError
from qts.market.krx import KST
from qts.money import ZERO, decimal_of

_T = TypeVar("_T")
_MOST_TEXT: Final = 200
_NUMBER_LENGTH: Final = 10


class Envelope(msgspec.Struct, frozen=True):
    """The body of an answer. ``rt_cd`` "0": done. ``output``… are raw until somewhere knows what they hold.

    ``error_code`` and ``error_description`` are of the calls that give keys.
    """

    rt_cd: str = ""
    msg_cd: str = ""
    msg1: str = ""
    output: msgspec.Raw = msgspec.Raw()
    output1: msgspec.Raw = msgspec.Raw()
    output2: msgspec.Raw = msgspec.Raw()
    ctx_area_fk100: str = ""
    ctx_area_nk100: str = ""
    ctx_area_fk: str = ""
    ctx_area_nk: str = ""
    error_code: str = ""
    error_description: str = ""

    @property
    def code(self) -> str:
        """Return the code of what happened, "" for none."""
        return (self.msg_cd or self.error_code).strip()[:_MOST_TEXT]

    @property
    def text(self) -> str:
        """Return code and text for people, on one line."""
        said = " ".join((self.msg1 or self.error_description).split())[:_MOST_TEXT]
        return f"{self.code} {said}".strip()


class Reply(NamedTuple):
    """One answer. ``envelope`` None: its body is none of KIS. ``tr_cont``: whether more pages follow."""

    status: int
    tr_cont: str
    envelope: Envelope | None

    @property
    def is_done(self) -> bool:
        """Return whether KIS says that it has done what was asked for."""
        return self.status == 200 and self.envelope is not None and self.envelope.rt_cd == "0"

    @property
    def code(self) -> str:
        """Return the code of what happened, "" for none."""
        return "" if self.envelope is None else self.envelope.code

    @property
    def told(self) -> str:
        """Return in one line what was answered."""
        if self.envelope is None:
            return f"HTTP {self.status} with a body that is none of KIS"
        return f"HTTP {self.status}, {self.envelope.text}" if self.envelope.text else f"HTTP {self.status}"


_OTHER_KEYS: Final = frozenset({"EGW02004", "EGW02007"})
_NO_KEYS: Final = frozenset({"EGW00103", "EGW00105"})
_NO_ACCOUNT: Final = "OPSQ2000"


def explained(reply: Reply, account: str) -> str:
    """Return what was answered in one line, with what to do about wrong keys of ``account``, live or paper."""
    names, other = f"QTS_KIS_{account.upper()}_", {"live": "paper", "paper": "live"}[account]
    if reply.code in _OTHER_KEYS:
        return f"{reply.told}: these are keys of a {other} account; give those of the {account} one as {names}…"
    if reply.code in _NO_KEYS:
        return (
            f"{reply.told}: check {names}APP_KEY and {names}APP_SECRET, or the file that {names}FILE names; keys "
            f"of a {other} account are not taken at the {account} host"
        )
    if reply.code == _NO_ACCOUNT:
        return f"{reply.told}: check {names}ACCOUNT; it has to be the {account} account that the keys are for"
    return reply.told


def envelope_of(body: bytes) -> Envelope | None:
    """Return the envelope in ``body``; None for what is none."""
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return envelope if envelope.rt_cd or envelope.error_code else None


def decoded(raw: msgspec.Raw, kind: type[_T], what: str) -> _T:
    """Return a part of an answer as ``kind``. Raises BrokerUnavailable for a part that is missing or another."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is missing or no JSON"
        refuse(what, reason)


def amount(text: str, what: str) -> Decimal:
    """Return a number of an answer. Raises BrokerUnavailable for what is none, an empty text too."""
    try:
        return decimal_of(text.strip(), what)
    except ContractError as error:
        refuse(what, str(error))


def amount_or_zero(text: str, what: str) -> Decimal:
    """Return a number of an answer, 0 for an empty one. Raises BrokerUnavailable for what is none."""
    return amount(text, what) if text.strip() else ZERO


def amount_or_none(text: str, what: str) -> Decimal | None:
    """Return a number of an answer, None for an empty one. Raises BrokerUnavailable for what is none."""
    return amount(text, what) if text.strip() else None


def order_number(text: str) -> str:
    """Return the number of an order as all of KIS' answers are compared: ten digits; "" for none."""
    text = text.strip()
    return text.zfill(_NUMBER_LENGTH) if text.strip("0") else ""


def day_of(text: str, what: str) -> date:
    """Return the date of ``YYYYMMDD``. Raises BrokerUnavailable."""
    try:
        if len(text) != 8:
            raise ValueError
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        refuse(what, f"{text[:_MOST_TEXT]!r} is no date")


def moment_ns(day: date, time: str, what: str) -> int:
    """Return the moment of ``HHMMSS`` in Seoul, ns since 1970 (UTC). Raises BrokerUnavailable."""
    try:
        if len(time) != 6:
            raise ValueError
        clock = (int(time[:2]), int(time[2:4]), int(time[4:]))
        return to_ns(datetime(day.year, day.month, day.day, *clock, tzinfo=KST))
    except ValueError:
        refuse(what, f"{time[:_MOST_TEXT]!r} is no time")


def expiry_ns(text: str, expires_in: int, now_ns: int) -> int:
    """Return when a token ends: at ``YYYY-MM-DD HH:MM:SS`` in Seoul or in ``expires_in`` seconds, the earlier one.

    Raises BrokerUnavailable where neither is told.
    """
    ends = [now_ns + expires_in * NS_PER_S] if expires_in > 0 else []
    with suppress(ValueError):
        ends.append(to_ns(datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=KST)))
    if not ends:
        refuse("the end of the token", "it is not told")
    return min(ends)


def refuse(what: str, why: str) -> NoReturn:
    """Raise BrokerUnavailable: an answer cannot be read, so nothing of it counts."""
    raise BrokerUnavailable(f"{what} in an answer of KIS cannot be read: {why}")
