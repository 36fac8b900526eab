"""Stores notices of the broker that were not booked, as they came, and requests a comparison of the books."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from qts.db.contracts import QuarantineRow
from qts.runtime.persistence.store_writer import StoreWriter

MAX_STORED = 65_536
"""Characters of one notice that are stored."""
MAX_SHOWN = 300
"""Characters of the first notice that the result shows."""
MAX_LOGGED = 2_000
"""Characters of one notice that are logged and passed to safety."""
REMEMBERED = 1_000
"""Number of notices that are recognised when they come again; each is stored once."""


class Quarantine:
    """The quarantined notices of a run. Memory holds the newest alone, to recognise one that comes again.

    ``count`` and ``first`` cover the whole run; ``first`` None: there is none. ``on_kept`` is called for each new
    one: the books have to be compared with the broker's.
    """

    def __init__(
        self,
        record: StoreWriter,
        *,
        on_code: Callable[[str, str], None],
        on_kept: Callable[[], None],
        log: Callable[[str, str], None],
    ) -> None:
        self._record = record
        self._on_code = on_code
        self._on_kept = on_kept
        self._log = log
        self._known: OrderedDict[str, None] = OrderedDict()
        self.count = 0
        self.first: QuarantineRow | None = None

    def keep(self, notice: object, code: str, reason: str, now_ns: int) -> None:
        """Store ``notice`` as it came and raise ``code``; do nothing for one that was stored before."""
        raw = ascii(notice)[:MAX_STORED]
        if raw in self._known:
            self._known.move_to_end(raw)
            return
        self._remember(raw)
        detail = f"{reason}; not booked: {raw[:MAX_LOGGED]}"
        row = QuarantineRow(now_ns, code, reason, raw)
        self.count, self.first = self.count + 1, self.first or row
        self._record.write_later(row)
        self._log("ERROR", detail)
        self._on_code(code, detail)
        self._on_kept()

    def restore(self, rows: Sequence[QuarantineRow]) -> None:
        """Take over the stored notices of the run after a restart."""
        self.count, self.first = len(rows), rows[0] if rows else None
        for row in rows[-REMEMBERED:]:
            self._remember(row.notice)

    def _remember(self, raw: str) -> None:
        self._known[raw] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
