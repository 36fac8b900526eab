"""The session's log: one JSON object a line, written by the P3 handler, flushed when the session says so."""

from __future__ import annotations

from pathlib import Path

import msgspec

from qts.clock import from_ns
from qts.event.payloads import LogWrite

FILE_NAME = "session.log.jsonl"
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


class SessionLog:
    """Appends to ``session.log.jsonl``. After a kill, lines since the last checkpoint may stand there twice."""

    def __init__(self, directory: Path, level: str) -> None:
        self._file = open(directory / FILE_NAME, "ab", buffering=1 << 16)  # noqa: SIM115 - closed by close()
        self._least = _LEVELS[level]
        self._encode = msgspec.json.Encoder().encode

    def write(self, line: LogWrite) -> None:
        if _LEVELS.get(line.level, 40) >= self._least:
            row = {
                "time": from_ns(line.ts_ns).isoformat(),
                "level": line.level,
                "message": line.message,
                **line.fields,
            }
            self._file.write(self._encode(row) + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
