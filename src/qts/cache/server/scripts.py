"""Scripts that a cache server runs as one step; none leaves a key without a lifetime.

Each names its keys, so that a server checks the rights to them before it begins. Whether PEXPIRE is allowed is
asked before anything is written: a script is not undone when one of its commands is refused. With ``#!lua`` a
server that is full, or a read-only replica, refuses one that writes as a whole.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A script, and the name by which a server knows it after it has run it once.

    ``reads``: it only reads, which takes no right to write its keys.
    """

    text: str
    name: str
    reads: bool = False


def _script(text: str, *, reads: bool = False) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), reads)


_MAY_EXPIRE: Final = """for _, key in ipairs(KEYS) do
if not redis.acl_check_cmd('PEXPIRE', key, 1) then
return redis.error_reply("NOPERM this user has no permissions to run the 'pexpire' command") end end
"""

PUT: Final = _script(
    "#!lua\n" + _MAY_EXPIRE + "redis.call('DEL', KEYS[1])\n"
    "redis.call('HSET', KEYS[1], unpack(ARGV, 2))\n"
    "return redis.call('PEXPIRE', KEYS[1], ARGV[1])"
)
"""Replace a hash. Words: its lifetime in ms; field and text, for each."""

PUT_LEVELS: Final = _script(
    "#!lua\n" + _MAY_EXPIRE + "redis.call('DEL', unpack(KEYS))\n"
    "local at = 2\n"
    "for place, command in ipairs({'HSET', 'ZADD', 'ZADD'}) do\n"
    "local count = tonumber(ARGV[at])\n"
    "if count > 0 then\n"
    "redis.call(command, KEYS[place], unpack(ARGV, at + 1, at + count))\n"
    "redis.call('PEXPIRE', KEYS[place], ARGV[1]) end\n"
    "at = at + count + 1 end\n"
    "return 1"
)
"""Replace a hash and the sorted sets of both sides. Words: their lifetime in ms; three times a count and so many
words: field and text, for each, then twice score and member, for each."""

LEVELS: Final = _script(
    "#!lua flags=no-writes\n"
    "local function best(key, most, order)\n"
    "local found = redis.call('ZRANGE', key, 0, most - 1, unpack(order))\n"
    "if #found < most then return found, {} end\n"
    "local last = redis.call('ZSCORE', key, found[#found])\n"
    "return found, redis.call('ZRANGE', key, last, last, 'BYSCORE') end\n"
    "local most = tonumber(ARGV[1])\n"
    "local bids, more_bids = best(KEYS[2], most, {'REV'})\n"
    "local asks, more_asks = best(KEYS[3], most, {})\n"
    "return {redis.call('HGETALL', KEYS[1]), bids, more_bids, asks, more_asks}",
    reads=True,
)
"""Read a hash and the best members of both sides, of each also all that have the score of the last one: prices that
differ only behind what a float holds have the same score. Words: how many."""

COUNT: Final = _script(
    "#!lua\n" + _MAY_EXPIRE + "redis.call('SADD', KEYS[1], ARGV[1])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return redis.call('SCARD', KEYS[1])"
)
"""Add a member to a set. Words: the member; the lifetime in ms."""

UNLOCK: Final = _script(
    "#!lua\nif redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)
"""Remove a key if it holds a token. Words: the token."""
