"""Leaves commands for a session as small files in its data directory.

``qts stop``, ``qts safety release``, ``qts state override`` and ``clear-override`` and ``qts config reload`` write
one file each into ``<data-dir>/operator``; the session executes it between two handlers, and leaves the answer
beside it (:mod:`qts.runtime.control.operator_inbox`). Who may write into the directory may command: it is made for
its owner alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import InputError
from qts.files import own
from qts.ids import random_prefix
from qts.runtime.control.commands import MOST_CHARACTERS, Command, command_from, name_of

DIRECTORY: Final = "operator"
ASKED: Final = ".asked"
ANSWERED: Final = ".answered"


def leave_command(data_dir: Path, command: Command) -> Path:
    """Write ``command`` for the session in ``data_dir``; returns the file in which the answer will stand.

    Raises InputError when the values are not allowed, there is no such directory or it cannot be written to.
    """
    if not data_dir.is_dir():
        raise InputError(f"{data_dir} is not the data directory of a session")
    name = name_of(command)
    for field in ("operator", "reason"):
        length = len(getattr(command, field))
        if not 1 <= length <= MOST_CHARACTERS:
            raise InputError(f"--{field}: {length} characters; allowed are 1 to {MOST_CHARACTERS}")
    try:
        said = msgspec.json.encode(command)
        command_from(said)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the command {name!r} cannot be given: {error.object!r} is not UTF-8; type it on a "
            "terminal that is, or in ASCII"
        ) from None
    except msgspec.ValidationError as error:
        raise InputError(f"the command {name!r} cannot be given: {error}") from None
    box = data_dir / DIRECTORY
    name = f"{name}-{random_prefix()}"
    draft = box / f".{name}"
    try:
        box.mkdir(mode=0o700, exist_ok=True)
        with open(draft, "xb", opener=own) as file:
            file.write(said)
        os.replace(draft, box / f"{name}{ASKED}")
    except OSError as error:
        raise InputError(f"{box}: cannot leave the command there ({error.strerror}); it was not given") from error
    return box / f"{name}{ANSWERED}"
