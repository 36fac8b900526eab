"""PostgreSQL with or without TimescaleDB as a server that follows the local books, over asyncpg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qts.db.timescale.adapter import TimescaleDBAdapter

__all__ = ["TimescaleDBAdapter"]


def __getattr__(name: str) -> Any:
    # Not imported before it is asked for: the market values, which it is made of, use modules of this package.
    if name == "TimescaleDBAdapter":
        from qts.db.timescale.adapter import TimescaleDBAdapter

        return TimescaleDBAdapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
