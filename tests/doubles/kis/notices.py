"""Notices of fills, acceptances, cancels and refusals: their fields, their cipher, and when they are sent."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.doubles.kis import frames
from tests.doubles.kis.access import Keys
from tests.doubles.kis.books import NEW, Books, Fill, Order
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.faults import Faults
from tests.doubles.kis.market import NXT, Market
from tests.doubles.kis.rules import FILL_OR_KILL, IMMEDIATE
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.sockets import NOTICE_TR, Session, Sockets

BLOCK_BITS = 128
KEPT = 20_000
OLD_WIDTH = 23
ACCEPTED, CONFIRMED, ENDED = "1", "2", "3"
_ACCEPTANCE = {"cancelled": CONFIRMED, "revised": CONFIRMED, "expired": CONFIRMED, "ended": ENDED}


class Notices:
    """Tells customers of what happens to their orders, over the websockets that asked for it."""

    def __init__(
        self,
        books: Books,
        market: Market,
        sockets: Sockets,
        clock: DoubleClock,
        settings: Settings,
        faults: Faults,
        chance: random.Random,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        *,
        customers: dict[str, Keys],
    ) -> None:
        self.sent: deque[list[str]] = deque(maxlen=KEPT)
        """The fields of the last notices in the order in which they happened, also of dropped ones."""
        self.in_call = False
        """Whether a REST call is being done: its answer has not been sent yet."""
        self._market, self._sockets, self._clock, self._settings = market, sockets, clock, settings
        self._faults, self._chance, self._spawn = faults, chance, spawn
        self._customers = customers
        self._behind: list[tuple[Keys, list[str]]] = []
        self._swapped: list[tuple[Keys, list[str]]] = []
        books.on_event.append(self.on_event)

    # -- what happens ------------------------------------------------------------------------------------------

    def on_event(self, kind: str, order: Order, fill: Fill | None) -> None:
        """Tell the customer of an event of the books."""
        keys = self._customers.get(order.account)
        if keys is None:
            return
        record = self.record(keys, kind, order, fill)
        self.sent.append(record)
        if self.in_call and self._waits_for_answer():
            self._behind.append((keys, record))
        else:
            self._pass(keys, record, kind)

    def _waits_for_answer(self) -> bool:
        when = self._settings.notices
        return when == "after" or (when == "mixed" and self._chance.random() < 0.5)

    def answered(self) -> None:
        """Send what waited for the answer of a call."""
        behind, self._behind = self._behind, []
        for keys, record in behind:
            self._pass(keys, record, "fill" if record[13] == "2" else "accepted")

    def _pass(self, keys: Keys, record: list[str], kind: str) -> None:
        fault = self._faults.notice(kind, record)
        if fault is None:
            self._send(keys, record)
        elif fault.name == "notice_doubled":
            self._send(keys, record)
            self._send(keys, record)
        elif fault.name == "notice_late":
            self._spawn(self._later(keys, record, float(fault.options.get("seconds", 1))))
        elif fault.name == "notice_swapped":
            self._swapped.append((keys, record))
            return
        swapped, self._swapped = self._swapped, []
        for one in swapped:
            self._send(*one)

    async def _later(self, keys: Keys, record: list[str], seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._send(keys, record)

    def repeat(self, last: int = 1) -> None:
        """Send the last notices once again."""
        for record in list(self.sent)[-last:]:
            keys = next(one for one in self._customers.values() if record[1] == one.account + one.product)
            self._send(keys, record)

    def _send(self, keys: Keys, record: list[str]) -> None:
        tr_id = NOTICE_TR[keys.is_paper]
        for session in self._sockets.to(tr_id, keys.hts_id):
            session.send(self.frame(tr_id, record, session))

    # -- the frame ---------------------------------------------------------------------------------------------

    def frame(self, tr_id: str, record: list[str], session: Session) -> str:
        """Return the frame of a notice for a session."""
        if self._settings.notice_width == OLD_WIDTH:  # no condition price, venue, popup and filler, but the name
            record = [*record[:18], record[24], *record[22:26]]
        if not self._settings.encrypted:
            return frames.data(tr_id, [record])
        return frames.data(tr_id, [record], encrypted=encrypt("^".join(record), *session.cipher))

    def record(self, keys: Keys, kind: str, order: Order, fill: Fill | None) -> list[str]:
        """Return the 26 fields of a notice."""
        qty = fill.qty if fill else _quantity(kind, order)
        is_shifted = fill is None and self._settings.accepted_in_cntg_qty
        ordinary, ioc, fok = self._settings.conditions
        condition = ordinary
        if order.kind in IMMEDIATE:
            condition = fok if order.kind in FILL_OR_KILL else ioc
        is_new = fill is not None and not self._settings.fills_name_revises
        venue = (
            ("4" if order.routed == NXT else "3") if order.venue == "SOR" else "2" if order.routed == NXT else "1"
        )
        return [
            keys.hts_id,
            keys.account + keys.product,
            order.number,
            "" if is_new else order.original,
            order.side,
            NEW if is_new else order.action,
            order.kind,
            condition,
            order.code,
            str(qty if fill or is_shifted else 0),
            str(fill.price if fill else order.price),
            fill.time if fill else self._clock.hms,
            "1" if kind == "rejected" else "0",
            "2" if fill else "1",
            self._settings.fill_acceptance if fill else _ACCEPTANCE.get(kind, ACCEPTED),
            order.branch,
            "" if is_shifted else str(order.qty),
            "홍길동",
            str(order.trigger),
            venue,
            "Y",
            "",
            "10",
            "",
            self._market[order.code].name,
            str(order.price),
        ]


def _quantity(kind: str, order: Order) -> int:
    """Return the quantity that a notice without a fill is about."""
    if kind == "ended":
        return order.cancelled
    if kind == "rejected":
        return order.rejected
    if kind == "expired":
        return order.expired
    return order.cancelled if kind == "cancelled" else order.qty


def encrypt(text: str, key: str, iv: str) -> str:
    """Encrypt a text with AES-256-CBC and return it in base64."""
    padder = PKCS7(BLOCK_BITS).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode())).encryptor()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
