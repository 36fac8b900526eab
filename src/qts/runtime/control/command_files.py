"""Writes commands for a running session as small files into its data directory.

``qts stop``, ``qts safety release``, ``qts state override`` and ``clear-override``, ``qts config reload``, ``qts
adopt`` and ``qts capital`` write one file each into ``<data-dir>/operator``; the session executes it between two
handlers and writes the answer beside it (:mod:`qts.runtime.control.operator_inbox`). Write access to that directory
is the permission to give commands, so it is created for its owner alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import InputError
from qts.files import in_place_opener
from qts.ids import random_prefix
from qts.runtime.control.commands import MAX_CHARACTERS, Command, command_from, name_of

DIRECTORY: Final = "operator"
COMMAND_SUFFIX: Final = ".asked"
ANSWER_SUFFIX: Final = ".answered"


def encoded(command: Command) -> bytes:
    """Return ``command`` as it is written into its file. Raises InputError when a value of it is not allowed."""
    name = name_of(command)
    for field in ("operator", "reason"):
        length = len(getattr(command, field))
        if not 1 <= length <= MAX_CHARACTERS:
            raise InputError(f"--{field}: {length} characters; allowed are 1 to {MAX_CHARACTERS}")
    try:
        data = msgspec.json.encode(command)
        command_from(data)
        return data
    except UnicodeEncodeError as error:
        raise InputError(
            f"the command {name!r} cannot be given: {error.object!r} is not UTF-8; type it on a "
            "terminal that is, or in ASCII"
        ) from None
    except msgspec.ValidationError as error:
        raise InputError(f"the command {name!r} cannot be given: {error}") from None


def write_command(data_dir: Path, command: Command) -> Path:
    """Write ``command`` for the session in ``data_dir`` and return the path at which its answer will appear.

    Raises InputError when a value is not allowed, when there is no such directory or it cannot be written to.
    """
    if not data_dir.is_dir():
        raise InputError(f"{data_dir} is not the data directory of a session")
    data = encoded(command)
    directory = data_dir / DIRECTORY
    name = f"{name_of(command)}-{random_prefix()}"
    draft = directory / f".{name}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with open(draft, "xb", opener=in_place_opener) as file:
            file.write(data)
        os.replace(draft, directory / f"{name}{COMMAND_SUFFIX}")
    except OSError as error:
        raise InputError(
            f"{directory}: cannot leave the command there ({error.strerror}); it was not given"
        ) from error
    return directory / f"{name}{ANSWER_SUFFIX}"
