"""What nobody expected: written down where it happened, told in a sentence at the edge of the command."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.persistence.session_log import FILE_NAME, SessionLog

MOST_TEXT: Final = 65_536
"""Characters of a traceback that are kept: its end, where the error is."""
_MOST_SAID: Final = 500
_WRITTEN: Final = "the traceback is in "


def write_down(error: Exception, log: SessionLog, directory: Path, now_ns: int) -> None:
    """Put the traceback of ``error`` into the session log of ``directory``, and a note of that on ``error``."""
    said = _readable(f"unexpected {type(error).__name__}: {error}"[:_MOST_SAID])
    trace = _readable("".join(traceback.format_exception(error))[-MOST_TEXT:])
    try:
        log.record(LogWrite("ERROR", said, now_ns, {"traceback": trace}))
    except StorageError as failed:
        error.add_note(f"the traceback could not be written: {failed}")
    else:
        error.add_note(f"{_WRITTEN}{directory / FILE_NAME}")


def sentence_of(error: Exception) -> str:
    """Say what happened in a session and where the traceback is; "" when nothing of it was written down."""
    where = next((note for note in getattr(error, "__notes__", ()) if note.startswith(_WRITTEN)), "")
    if not where:
        return ""
    return (
        f"something in QTS itself went wrong ({type(error).__name__}: {str(error)[:_MOST_SAID]}). Nothing was "
        f"written after it: the run stands as it was at its last checkpoint, continue it with --resume; {where}, "
        "please report it"
    )


def _readable(text: str) -> str:
    """What no file could hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
