"""Statements of the tests themselves, sent from tests that have no loop and from those that have one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop and a thread of its own and return what it returns; its error is raised here."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, name="sql of the tests")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def query(url: str, statement: str, *values: object) -> list[asyncpg.Record]:
    """Return the rows of one statement, sent on a connection of its own outside of a transaction."""

    import asyncpg  # an extra, and this module is loaded with every test

    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url, timeout=20)
        try:
            return list(await connection.fetch(statement, *values, timeout=60))
        finally:
            await connection.close()

    return finish(ask())


def execute(url: str, script: str) -> None:
    """Run several statements, without values, on a connection of its own."""

    import asyncpg

    async def send() -> None:
        connection = await asyncpg.connect(url, timeout=20)
        try:
            await connection.execute(script, timeout=60)
        finally:
            await connection.close()

    finish(send())


def migrate(url: str) -> None:
    """Make the newest schema of books in a database."""
    import asyncpg

    from qts.db.postgres.migrate import migrate as bring_to_the_newest

    async def send() -> None:
        connection = await asyncpg.connect(url, timeout=20)
        try:
            await bring_to_the_newest(connection, "the database of the test")
        finally:
            await connection.close()

    finish(send())
