"""Runs ``pg_dump`` and ``pg_restore``; a password reaches them in their environment, which no list shows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Final

from qts.db.access import Access
from qts.db.postgres.connection import SCHEMA
from qts.errors import InputError, StorageError
from qts.files import PRIVATE, open_beside, sync_directory
from qts.wording import printable

_VERSION: Final = re.compile(rb"\(PostgreSQL\)\s+([0-9]+)")
MAGIC: Final = b"PGDMP"
"""The first bytes of a file of ``pg_dump``."""


async def dump_program(server_major: int) -> tuple[str, str]:
    """Return the path of a ``pg_dump`` that can save such a server, and ""; or "" and why there is none."""
    return await _program("pg_dump", server_major)


async def _program(name: str, server_major: int) -> tuple[str, str]:
    path = shutil.which(name)
    if path is None:
        return "", f"{name} was not found"
    found = _VERSION.search(await _output(path, "--version"))
    if found is None or int(found[1]) < server_major:
        version = found[1].decode() if found else "of no known version"
        return "", f"{path} is {version}, and the server is {server_major}"
    return path, ""


async def _output(*argv: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return output


async def dump(program: str, access: Access, path: Path) -> None:
    """Save the schema of QTS in the new file ``path``, which has its name when all of it is there."""
    try:
        handle, unfinished = open_beside(path, PRIVATE)  # before the program would make it readable for others
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    try:
        await _run(program, access, "--format=custom", f"--schema={SCHEMA}", f"--file={unfinished}")
        try:
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            os.link(unfinished, path)
            sync_directory(path.parent)
        except FileExistsError as error:
            raise InputError(f"{path} is there already; give the name of a new file") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot write it: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


async def restore_dump(access: Access, server_major: int, path: Path, role: str) -> str:
    """Put back what :func:`dump` saved, all of it or nothing; return the program. ``role`` "": as this user.

    Raises InputError without a ``pg_restore`` as new as the server, and StorageError for what it says.
    """
    program, why = await _program("pg_restore", server_major)
    if not program:
        raise InputError(f"{path} was made by pg_dump, and {why}: install the client programs of PostgreSQL")
    as_role = [f"--role={role}"] if role else []
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    await _run(program, access, *options, *as_role, f"--dbname={access.database}", str(path))
    return program


async def _run(program: str, access: Access, *arguments: str) -> None:
    """Run a program to its end. Raises StorageError with what it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=_environment(access),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        text = " ".join(said.decode(errors="replace").split())
        raise StorageError(f"{access.place}: {program} ended with {process.returncode}: {printable(text)}")


def _environment(access: Access) -> dict[str, str]:
    """Return the environment of a program: ours, without other servers, and with the way to this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG") or name in _PASSWORDS}
    found = {
        "PGHOST": access.host,
        "PGPORT": str(access.port),
        "PGUSER": access.user,
        "PGDATABASE": access.database,
        "PGSSLMODE": access.tls,
        "PGAPPNAME": "qts db",
    }
    if access.tls.startswith("verify"):
        found["PGSSLROOTCERT"] = access.root_certificate or "system"
    if access.password:
        found["PGPASSWORD"] = access.password
    return kept | found


_PASSWORDS: Final = ("PGPASSWORD", "PGPASSFILE")
