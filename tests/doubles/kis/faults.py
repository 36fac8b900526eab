"""Faults by name: what goes wrong with the next call, list or notice, or by chance with any."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Way(NamedTuple):
    """How a call goes wrong: whether it is done, and what is answered.

    ``ends``: ``answer``, ``cut`` the connection is closed without an answer, ``silent`` it stays open without one.
    Others are how an answer is spoiled or delayed.
    """

    is_done: bool
    ends: str = "answer"
    status: int = 0
    code: str = ""
    body: str = ""
    kind: str = "application/json"


HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
CALLS = {
    "cut_before": Way(False, "cut"),
    "ack_lost": Way(True, "cut"),
    "taken_late": Way(False, "later"),
    "timeout_before": Way(False, "silent"),
    "timeout_after": Way(True, "silent"),
    "http_504_before": Way(False, "answer", 504, body=HTML.format("504 Gateway Time-out"), kind="text/html"),
    "http_504_after": Way(True, "answer", 504, body=HTML.format("504 Gateway Time-out"), kind="text/html"),
    "http_502": Way(False, "answer", 502, body=HTML.format("502 Bad Gateway"), kind="text/html"),
    "http_503": Way(False, "answer", 503, body=HTML.format("503 Service Unavailable"), kind="text/html"),
    "http_429": Way(False, "answer", 429, body=HTML.format("429 Too Many Requests"), kind="text/html"),
    "timed_out_301": Way(True, "answer", 500, "EGW00301"),
    "timed_out_302": Way(True, "answer", 500, "EGW00302"),
    "transient": Way(False, "answer", 500, "EGW00001"),
    "server_error": Way(False, "answer", 500, "EGW00002"),
    "routing_error": Way(False, "answer", 500, "EGW00300"),
    "rate_limit": Way(False, "answer", 500, "EGW00201"),
    "ledger_limit": Way(False, "answer", 500, "EGW00215"),
    "token_expired": Way(False, "answer", 500, "EGW00123"),
    "token_unknown": Way(False, "answer", 500, "EGW00121"),
    "html": Way(True, "answer", 200, body=HTML.format("점검"), kind="text/html"),
    "bad_json": Way(True, "truncated"),
    "empty_body": Way(True, "empty"),
    "wrong_charset": Way(True, "cp949"),
    "slow": Way(True, "slow"),
    "late": Way(True, "late"),
    "answer": Way(False, "custom"),
}
"""Faults of calls. ``taken_late`` cuts the connection and does the call ``seconds`` later; ``slow`` waits
``seconds`` before the call is done, ``late`` behind it; ``answer`` gives the ``status``, ``body`` and
``content_type`` of its options, and does the call where ``is_done`` is true."""
LISTS = {"page_fails", "page_repeats", "one_row", "row_missing", "row_doubled", "row_shrinks"}
"""Faults of lists. ``page_fails`` and ``page_repeats``: the page of option ``page`` (2). ``row_missing``,
``row_doubled``, ``row_shrinks`` (to the quantity ``qty``): the order of option ``number``, or all."""
NOTICES = {"notice_dropped", "notice_doubled", "notice_late", "notice_swapped"}
"""Faults of notices; option ``kind`` (fill, accepted, cancelled, …) names which, option ``number`` whose."""


@dataclass
class Fault:
    """A fault that waits. ``left``: how often it will happen, None without end; ``after``: how many it passes."""

    name: str
    on: str = ""
    where: dict[str, str] = field(default_factory=dict)
    left: int | None = 1
    after: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    fired: int = 0

    def take(self) -> bool:
        """Count one occasion, and return whether the fault happens at it."""
        if self.after:
            self.after -= 1
            return False
        if self.left is not None:
            if not self.left:
                return False
            self.left -= 1
        self.fired += 1
        return True

    def end(self) -> None:
        """Let it not happen any more."""
        self.left = 0


class Faults:
    """All faults of a double. ``rates``: the chance of each name at each call or notice, for long random runs."""

    def __init__(self, chance: random.Random) -> None:
        self.waiting: list[Fault] = []
        self.rates: dict[str, float] = {}
        self.happened: list[str] = []
        """Names of all faults that have happened, oldest first."""
        self._chance = chance

    def add(self, fault: Fault) -> Fault:
        """Let a fault wait. Raises ValueError for an unknown name."""
        if fault.name not in CALLS.keys() | LISTS | NOTICES:
            raise ValueError(f"no fault {fault.name!r}; there are {sorted(CALLS.keys() | LISTS | NOTICES)}")
        self.waiting.append(fault)
        return fault

    def call(self, name: str, tr_id: str, fields: dict[str, str]) -> Fault | None:
        """Return the fault of a call: ``name`` is the last part of its path."""
        return self._found(CALLS.keys(), (name, tr_id), fields)

    def rows(self, name: str, tr_id: str, fields: dict[str, str]) -> Fault | None:
        """Return the fault of an answer with rows."""
        return self._found(LISTS, (name, tr_id), fields)

    def notice(self, kind: str, record: list[str]) -> Fault | None:
        """Return the fault of a notice."""
        for fault in self.waiting:
            if fault.name not in NOTICES or fault.options.get("kind", kind) != kind:
                continue
            if str(fault.options.get("number", record[2])).zfill(10) == record[2] and fault.take():
                self.happened.append(fault.name)
                return fault
        return self._by_chance(NOTICES, {"kind": kind})

    def _found(self, names: Any, on: tuple[str, str], fields: dict[str, str]) -> Fault | None:
        for fault in self.waiting:
            if fault.name not in names or fault.on not in ("", *on):
                continue
            if all(fields.get(name) == value for name, value in fault.where.items()) and fault.take():
                self.happened.append(fault.name)
                return fault
        return self._by_chance(names, {})

    def _by_chance(self, names: Any, options: dict[str, Any]) -> Fault | None:
        for name, rate in self.rates.items():
            if name in names and self._chance.random() < rate:
                self.happened.append(name)
                return Fault(name, options=options, fired=1)
        return None
