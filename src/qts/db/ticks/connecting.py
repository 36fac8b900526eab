"""Connections for market values, whose statements may take longer than those of the book."""

from __future__ import annotations

from typing import Final

import asyncpg

from qts.db.access import Access
from qts.db.timescale.connecting import CONNECT_S, connect_arguments

STATEMENT_MS: Final = 600_000
"""The server's limit; each call has a nearer one of its own."""


async def connect_for_ticks(access: Access, name: str) -> asyncpg.Connection:
    """Return a connection, named ``name`` at the server. Raises what asyncpg raises, and InputError."""
    arguments = connect_arguments(access, name)
    if not access.pooled:  # a pooler refuses settings
        arguments["server_settings"] |= {"statement_timeout": str(STATEMENT_MS)}
    return await asyncpg.connect(**arguments, timeout=CONNECT_S)
