"""Orders for tests, by their fields alone: what belongs to the request goes there."""

from __future__ import annotations

from typing import Any

import msgspec

from qts.capital.contracts import Pool
from qts.execution.contracts import Order, OrderState
from qts.money import ZERO
from qts.risk.contracts import OrderRequest, OrderType

_OF_REQUEST = frozenset(OrderRequest.__struct_fields__)


def order_with(**fields: Any) -> Order:
    """An order of :class:`OrderRequest`'s and :class:`Order`'s fields; LIMIT when it has a limit, else MARKET."""
    request = {name: fields.pop(name) for name in tuple(fields) if name in _OF_REQUEST}
    usual = {"decision_id": "d", "strategy": "s", "pool": Pool.SCALP, "ts_ns": 1, "limit": None}
    request = {**usual, **request}
    request.setdefault("type", OrderType.MARKET if request["limit"] is None else OrderType.LIMIT)
    rest = {"approval_id": "a", "state": OrderState.WORKING, "filled": ZERO, "ts_update_ns": 1, **fields}
    return Order(OrderRequest(**request), **rest)


def changed(order: Order, **fields: Any) -> Order:
    """``order`` with some fields changed, wherever they are."""
    asked = {name: fields.pop(name) for name in tuple(fields) if name in _OF_REQUEST}
    if "limit" in asked:
        asked.setdefault("type", OrderType.MARKET if asked["limit"] is None else OrderType.LIMIT)
    return msgspec.structs.replace(order, request=msgspec.structs.replace(order.request, **asked), **fields)
