"""A recorded file as a feed: pulls rows, refuses what cannot be used, and knows its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from operator import length_hint
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from qts.errors import DataError
from qts.market.contracts import BookUpdate, Instrument, MarketValue
from qts.market.files.refusals import BlankRow, RefusalExample, Refusals, RowRefused
from qts.market.files.remedies import refusals_text, remedy_for
from qts.market.files.row_blocks import Block, Source
from qts.market.files.row_memory import Recorded
from qts.market.files.row_parser import RowParser
from qts.notes import Note, in_english

R = TypeVar("R")


class Recorder(Protocol):
    """A keeper of the rows of a file for later runs while a feed reads them from the first to the last.

    Called by the feed, on its thread. No call raises for what happens to the recording.
    """

    values: list[MarketValue]
    """The feed appends each value here before it gives it."""

    def on_book(self, update: BookUpdate) -> None:
        """Keep the depth book from time to time; ``update`` is the last of :attr:`values` and not given yet."""
        ...

    def on_other(self, reason: str, example: RefusalExample | None) -> None:
        """Keep that the next row has no value: refused for ``reason``, or "" for a blank one.

        ``example`` is the entry made for it among the examples, None when there was no room.
        """
        ...

    def on_learned(self, what: str, particulars: Sequence[Any]) -> None:
        """Keep what the parser's memory learned from the next row; see :class:`RowMemory`."""
        ...

    def on_block(self, offset: int, first: int, share: float, checksums: Sequence[int], recorded: Recorded) -> None:
        """Keep a block of the file whose rows were all used; :attr:`values` has its values, and is emptied.

        It begins at ``offset`` with row ``first``, and the ``share`` (0..1) of the file is read. ``checksums`` are
        those of the rows with a value, ``recorded`` what the parser's memory recorded of them.
        """
        ...

    def on_end(self) -> None:
        """Complete the recording: no block follows."""
        ...

    def close(self) -> None:
        """Drop the recording unless it is complete: no further row will come."""
        ...


class FileFeed(Generic[R]):
    """A :class:`~qts.market.contracts.Feed` over one file.

    Unusable rows are counted in ``rows_refused``; ``refusal_examples`` keeps the first three of each reason
    and ``notes`` has one when the file ended early. Raises :class:`~qts.errors.DataError` while it is
    read when the system cannot read on, and at the end when no row at all was usable.
    """

    def __init__(
        self,
        name: str,
        source_id: str,
        max_age_ns: int,
        source: Source[R],
        parser: RowParser[R],
        notes: Sequence[Note] = (),
    ) -> None:
        self.name = name
        self.source_id = source_id
        self.max_age_ns = max_age_ns
        self.declares_volatility = False  # no file format carries a volatility index
        self.instruments: Mapping[str, Instrument] = parser.memory.symbols.instruments
        self._notes = list(notes)
        self._refusals = Refusals()
        self.rows_refused: Mapping[str, int] = self._refusals.counts
        self.refusal_examples: Mapping[str, Sequence[RefusalExample]] = self._refusals.examples
        self._source = source
        self._parser = parser
        self._memory = parser.memory
        self._recorder: Recorder | None = None
        self._block: Block[R] = Block(0, 1, [])
        self._reach = 0  # rows of the block that are used when nothing is left
        self._left: Iterator[R] = iter(())
        self._blocks: Iterator[Block[R]] = iter(())
        self._ahead: deque[Block[R]] = deque()
        self._ended = False
        parser.memory.order.following = self._following

    def record_with(self, recorder: Recorder) -> None:
        """Pass every row to ``recorder``. Called at most once, on a feed that begins with the first row."""
        self._recorder = recorder
        self._memory.record(recorder.on_learned)

    def values(self) -> Iterator[MarketValue]:
        """Return the values from the present place on; a second call continues where the first one was left."""
        if self._ended:
            return
        offset, first, skip = self._place()
        self._ahead.clear()
        self._blocks = self._source.blocks(offset, first)
        parse = self._parser.parse
        recorder, self._recorder = self._recorder, None  # a second call would begin in the middle
        used: list[R] = []
        with nullcontext() if recorder is None else closing(recorder):
            while (block := self._next_block()) is not None:
                self._block = block
                self._reach = len(block.rows)
                # Nothing is noted per row: the iterator knows how many are left, all that position() needs.
                self._left = iter(block.rows[skip:] if skip else block.rows)
                for row in self._left:
                    try:
                        value = parse(row)
                    except RowRefused as refused:
                        example = self._refuse(refused, row)
                        if recorder is not None:
                            recorder.on_other("" if isinstance(refused, BlankRow) else refused.reason, example)
                        continue
                    if recorder is not None:
                        recorder.values.append(value)
                        if isinstance(value, BookUpdate):
                            recorder.on_book(value)
                        used.append(row)
                    yield value
                if recorder is not None:
                    checksums = list(map(self._parser.checksum, used))
                    used.clear()
                    recorder.on_block(
                        block.offset, block.first, self._source.share_read(), checksums, self._memory.recorded()
                    )
                skip = max(skip - len(block.rows), 0)
            self._finish()
            if recorder is not None:
                recorder.on_end()

    def position(self) -> dict[str, Any]:
        """Return where the next row begins and all that is remembered of the rows before it."""
        offset, first, skip = self._place()
        return {
            "source_id": self.source_id,
            "offset": offset,
            "line": first,
            "skip": skip,
            "ended": self._ended,
            "parser": self._memory.state(),
            "refused": self._refusals.state(),
            "notes": msgspec.to_builtins(self._notes),
        }

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``. Raises DataError when it belongs to another file or is none."""
        require_same_input(self.name, self.source_id, position)
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        try:
            self._block = Block(position["offset"], position["line"], [])
            self._reach, self._left = int(position["skip"]), iter(())
            self._ended = position["ended"]
            self._memory.restore(position["parser"])
            self._refusals.restore(position["refused"])
            self._notes[:] = map(restored_note, position["notes"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.name}: the stored position cannot be read: {error!r}") from error

    @property
    def notes(self) -> list[Note]:
        """Return what a reader of the result must know of the input: damage, gaps, and what was guessed."""
        return [*self._notes, *self._memory.notes()]

    def progress(self) -> float | None:
        """Return the share of the file read, by bytes (Parquet: rows); up to one block ahead of the value given."""
        return 1.0 if self._ended else self._source.share_read()

    def _place(self) -> tuple[int, int, int]:
        return self._block.offset, self._block.first, self._used()

    def _used(self) -> int:
        """Return how many rows of the block were handled, the present one included."""
        return self._reach - length_hint(self._left)

    def _next_block(self) -> Block[R] | None:
        if self._ahead:
            return self._ahead.popleft()
        return next(self._blocks, None)

    def _following(self, count: int) -> list[R]:
        """Yield up to ``count`` rows after the present one, reading ahead where the block ends."""
        at = self._used()
        rows = self._block.rows[at : at + count]
        for read in self._ahead:
            rows = rows + read.rows[: count - len(rows)]
        while len(rows) < count and (block := next(self._blocks, None)) is not None:
            self._ahead.append(block)
            rows = rows + block.rows[: count - len(rows)]
        return rows

    def _refuse(self, refused: RowRefused, row: R) -> RefusalExample | None:
        """Count a refused row; return the example that was kept of it, None when there was no room for one."""
        if isinstance(refused, BlankRow):
            return None
        reason, line = refused.reason, self._block.first + self._used() - 1
        value = refused.value or self._parser.show(row)
        if not self._refusals.wants(reason):
            self._refusals.add(reason, line, value)
            return None
        column = refused.column or self._parser.column_of(row, refused.value)
        remedy = refused.remedy or remedy_for(reason, refused.value)
        self._refusals.add(reason, line, value, column=column, remedy=remedy)
        return self._refusals.examples[reason][-1]

    def _finish(self) -> None:
        damage = self._source.damage
        if damage is not None:
            line = self._block.first + self._used()
            self._refusals.add(damage.reason, line, in_english(damage.note))
            self._notes.append(Note.of("input-ended-early", damage=damage.note, line=line - 1))
        self._ended = True
        if not self._memory.order.last_ns:
            raise DataError(f"{self.name}: no usable row; {refusals_text(self._refusals)}")


def require_same_input(name: str, source_id: str, position: Mapping[str, Any]) -> None:
    """Raise DataError when ``position`` was stored for another input than ``source_id``; ``name`` is for people."""
    if position.get("source_id") != source_id:
        raise DataError(
            f"{name}: the stored position belongs to {position.get('source_id')!r}, this file is "
            f"{source_id!r}; resume with the file the run was started on"
        )


def restored_note(stored: Any) -> Note:
    """Read a note of a stored position; an earlier version stored the text."""
    return Note.of("text", text=stored) if isinstance(stored, str) else msgspec.convert(stored, Note)
