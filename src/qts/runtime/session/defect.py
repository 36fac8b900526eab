"""Records an unexpected error: its traceback in the session log, a sentence for the command line."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.persistence.session_log import FILE_NAME, SessionLog

MAX_TRACEBACK: Final = 65_536
"""Characters of a traceback that are kept, counted from its end, where the error is."""
_MAX_MESSAGE: Final = 500
_NOTE_PREFIX: Final = "the traceback is in "


def record_defect(error: Exception, log: SessionLog, directory: Path, now_ns: int) -> None:
    """Write the traceback of ``error`` to the session log of ``directory``, and note its path on ``error``."""
    said = _readable(f"unexpected {type(error).__name__}: {error}"[:_MAX_MESSAGE])
    trace = _readable("".join(traceback.format_exception(error))[-MAX_TRACEBACK:])
    try:
        log.record(LogWrite("ERROR", said, now_ns, {"traceback": trace}))
    except StorageError as failed:
        error.add_note(f"the traceback could not be written: {failed}")
    else:
        error.add_note(f"{_NOTE_PREFIX}{directory / FILE_NAME}")


def defect_message(error: Exception) -> str:
    """Return a message on the error and the place of its traceback; "" when :func:`record_defect` wrote none."""
    where = next((note for note in getattr(error, "__notes__", ()) if note.startswith(_NOTE_PREFIX)), "")
    if not where:
        return ""
    return (
        f"an unexpected error in QTS ended the session ({type(error).__name__}: {str(error)[:_MAX_MESSAGE]}). "
        "Nothing was written after it: the store is as it was at the last checkpoint, continue the run with "
        f"--resume; {where}, please report it"
    )


def _readable(text: str) -> str:
    """Return ``text`` with characters that UTF-8 cannot encode as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
