"""PostgreSQL with or without TimescaleDB as a server that follows the local books, over asyncpg."""

from qts.db.timescale.adapter import TimescaleDBAdapter

__all__ = ["TimescaleDBAdapter"]
