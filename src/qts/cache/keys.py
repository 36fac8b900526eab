"""Keys: of every value, lock and count that a cache holds, made and parsed here alone.

A key is ``PREFIX:ACCOUNT:KIND:{NAME}``, such as ``qts:A1:price:{005930}``. RISK and VIEW are of the account as a
whole and have no name: ``qts:A1:risk``. The braces are the hash tag of a cluster: what is known of one symbol is
kept together. In account and name every character but ASCII letters, digits and ``_.-~`` stands percent-encoded as
in a URL, so that no symbol can be taken for another one, nor for a part of a key.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

import msgspec

from qts.cache.contracts import Kind
from qts.errors import InputError

NAMELESS: Final = frozenset({Kind.RISK, Kind.VIEW})
"""The kinds of which an account has one value."""
LOCK: Final = "lock"
TRADES: Final = "trades"
WRITERS: Final = "writers"
_KINDS: Final = {kind.value: kind for kind in Kind}
_NAMED: Final = {Kind.ORDER: "order", Kind.STRATEGY: "strategy"}


class Key(msgspec.Struct, frozen=True):
    """The parts of the key of a value. ``name``: symbol or id; "" for a kind of which an account has one."""

    account: str
    kind: Kind
    name: str = ""


class Keys:
    """A maker of the keys of one account."""

    __slots__ = ("account", "everything", "own")

    def __init__(self, prefix: str, account: str) -> None:
        """Make keys that begin with ``prefix``, which :class:`~qts.cache.config.CacheConfig` bounds.

        Raises InputError for an account that no key can hold.
        """
        self.account = account
        self.everything = f"{prefix}:"
        """How all keys begin, of other accounts too."""
        self.own = f"{prefix}:{encoded(account, 'account')}:"
        """How the keys of the account begin."""

    def of(self, kind: Kind, name: str = "") -> str:
        """Return the key of a value.

        Raises InputError for a name that no key can hold: "", of a kind with names, or no Unicode; and for any
        name of a kind without.
        """
        if kind not in NAMELESS:
            return f"{self.own}{kind.value}:{{{encoded(name, _NAMED.get(kind, 'symbol'))}}}"
        if name:
            raise InputError(f"{name!r} names no {kind.name.lower()}: an account has one, and its name is ''")
        return self.own + kind.value

    def lock_of(self, key: str) -> str:
        """Return the key of the lock for loading the value of ``key``."""
        return f"{self.own}{LOCK}:{key.removeprefix(self.own)}"

    def writers_in(self, period: int) -> str:
        """Return the key of the set of sessions that write as the account in a period of time."""
        return f"{self.own}{WRITERS}:{period}"

    def trades_of(self, day: str) -> str:
        """Return the key of the set of executions of a day. Raises InputError as :meth:`of` does."""
        return f"{self.own}{TRADES}:{{{encoded(day, 'day')}}}"


def parse_key(prefix: str, text: str) -> Key | None:
    """Return the parts of a value's key; None for any other: a lock, a count, a side of a book, one of others."""
    head, _, rest = text.partition(":")
    account, _, rest = rest.partition(":")
    kind_text, _, tag = rest.partition(":")
    kind = _KINDS.get(kind_text)
    if head != prefix or kind is None or (tag[:1] + tag[-1:] != "{}" and kind not in NAMELESS):
        return None
    try:
        key = Key(unquote(account, errors="strict"), kind, unquote(tag[1:-1], errors="strict"))
        made = Keys(prefix, key.account).of(kind, key.name)
    except (InputError, UnicodeDecodeError):
        return None
    return key if made == text else None


def encoded(text: str, what: str) -> str:
    """Return ``text`` as it stands in a key. Raises InputError, which calls it ``what``, for one that cannot."""
    if text.isascii() and text.isalnum():  # most of them, and there are thousands in a read
        return text
    if not text:
        raise InputError(f"a key of the cache needs the name of the {what}, got ''")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise InputError(
            f"a key of the cache cannot hold the name of the {what}, got {text!r}: it is no Unicode"
        ) from None
