"""The marks of a journal: outcomes of events, and the note about the run's store, before they are written."""

from __future__ import annotations

from qts.event.journal_segments import Mark, Run, StoreNote, as_runs, encode_marks, encode_note, split_marks


class Marks:
    """The outcomes of events: noted at once, written when a checkpoint contains their effects.

    Not ``checkpointed`` they are written without waiting. ``note`` is what the journal knows of the store; it is
    written with every group of marks, so that the newest one is never in a file that was deleted. The caller
    holds the journal's lock.
    """

    def __init__(self, note: StoreNote | None, *, checkpointed: bool) -> None:
        self.checkpointed = checkpointed
        self.note = note
        self._is_note_due = False
        self._due: list[tuple[Mark, int]] = []
        self._uncommitted: list[tuple[Mark, int]] = []
        self._frozen: list[tuple[Mark, int]] = []

    def add(self, mark: Mark, sequence: int) -> None:
        """Note the outcome of an event."""
        (self._uncommitted if self.checkpointed else self._due).append((mark, sequence))

    def freeze(self) -> None:
        """Note that a checkpoint is being taken: it contains the effects of all that was noted so far."""
        self._frozen += self._uncommitted
        self._uncommitted = []

    def commit(self, checkpoint: int | None) -> None:
        """Note that the checkpoint of the last :meth:`freeze` is on disk; None: the store is unknown."""
        self._due += self._frozen
        self._frozen = []
        if self.note is not None and checkpoint is not None:
            self.note = StoreNote(self.note.store, checkpoint)
        self._is_note_due = self.note is not None

    @property
    def are_due(self) -> bool:
        """Return whether there is something to write."""
        return bool(self._due) or self._is_note_due

    def take(self, upto: int) -> list[Run]:
        """Remove and return the marks to be written of events up to ``upto``; the rest waits for the next call."""
        marks, self._due = split_marks(self._due, upto)
        return as_runs(marks)

    def bodies(self, runs: list[Run]) -> list[bytes]:
        """Return the bodies of the control records: ``runs`` and, when there is one, the note."""
        due, self._is_note_due = bool(runs) or self._is_note_due, False
        marks = [encode_marks(runs)] if runs else []
        return [*marks, encode_note(self.note)] if due and self.note is not None else marks
