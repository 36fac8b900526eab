"""Replays a prepared capture: to the session it is the feed of the text it was made of."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any, Final

import msgspec

from qts.market.contracts import Instrument, MarketValue
from qts.market.files.feed import FileFeed, require_same_input, restored_note
from qts.market.files.refusals import RefusalExample, Refusals
from qts.market.files.row_memory import RowMemory
from qts.market.files.symbols import SymbolTable
from qts.market.prepared.block import Block
from qts.market.prepared.capture import PreparedCapture
from qts.market.prepared.layout import Contents
from qts.notes import Note

_PLACES: Final = frozenset({"offset", "line", "skip"})


class PreparedFeed:
    """A :class:`~qts.market.contracts.Feed` over a prepared capture.

    Values, positions, refused rows and notes are those of the text: a run begun on one resumes on the other.
    ``remember`` makes a new memory of rows with the instruments of the head of the file, and ``open_text`` the feed
    of the text with these symbols; it takes over if a stored position has no place in the capture.
    """

    def __init__(
        self,
        capture: PreparedCapture,
        name: str,
        source_id: str,
        max_age_ns: int,
        remember: Callable[[], RowMemory],
        open_text: Callable[[SymbolTable], FileFeed[Any]],
    ) -> None:
        self.name = name
        self.source_id = source_id
        self.max_age_ns = max_age_ns
        self.declares_volatility = False
        self.capture: Final = capture
        self._contents = capture.contents
        self._remember = remember
        self._open_text = open_text
        self._text: FileFeed[Any] | None = None
        self._place = _Place(remember(), self._contents.head.notes)
        self.instruments: Mapping[str, Instrument] = self._place.memory.symbols.instruments
        self._number = 0  # of the block
        self._block: Block | None = None
        self._reach = 0  # values of the block that are given when nothing is left
        self._left: Iterator[int] = iter(())
        self._ended = False

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many rows had no value so far, by reason."""
        return self._refusals().counts if self._text is None else self._text.rows_refused

    @property
    def refusal_examples(self) -> Mapping[str, Sequence[RefusalExample]]:
        """Return the first refused rows of each reason."""
        return self._refusals().examples if self._text is None else self._text.refusal_examples

    @property
    def notes(self) -> list[Note]:
        """Return what a reader of the result must know of the input: damage, gaps, and what was guessed."""
        if self._text is not None:
            return self._text.notes
        if self._block is not None:
            self._place.settle(self._block, self._given())
        return [*self._place.notes, *self._place.memory.notes()]

    def values(self) -> Iterator[MarketValue]:
        """Return the values from the present place on; a second call continues where the first one was left."""
        if self._text is not None:
            yield from self._text.values()
            return
        for block, begin, end in self._stretches():
            # Nothing is noted per value: the iterator knows how many are left, all that position() needs.
            left = self._left = iter(block.kinds[begin:end])
            self._reach = end
            yield from block.values(begin, left)

    def position(self) -> dict[str, Any]:
        """Return where the next row of the text begins and all that is remembered of the rows before it."""
        if self._text is not None:
            return self._text.position()
        if self._ended:
            return self._contents.end
        if self._block is None:  # nothing was given of this block
            return self._contents.blocks[self._number].begin
        return self._place.position(self._block, self._given())

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``. Raises DataError when it belongs to another file or is none."""
        require_same_input(self.name, self.source_id, position)
        number, given = self._found(position)
        trial = _Place(self._remember(), self._contents.head.notes)
        if number < 0 or not trial.move_to(self._contents, self.capture.block(number), given, position):
            # Not a position of these rows, such as one of another version: it is for the text to judge.
            self._text = self._open_text(self._place.memory.symbols)
            self._text.resume(position)
            return
        self._number, self._block = number, self.capture.block(number)
        self._place.move_to(self._contents, self._block, given, position)
        self._reach, self._left = given, iter(())
        self._ended = position["ended"]

    def progress(self) -> float | None:
        """Return the share of the text read by the last value given; up to one block of it ahead."""
        if self._text is not None:
            return self._text.progress()
        if self._ended:
            return 1.0
        blocks = self._contents.blocks
        text_blocks = blocks[min(self._number, len(blocks) - 1)].text_blocks
        given = self._given()
        if self._block is None or not given:
            return text_blocks[0].share if self._number else 0.0
        return self._block.text_block_after(given).share

    def _stretches(self) -> Iterator[tuple[Block, int, int]]:
        """Yield block, first and last value of what can be given without learning anything; learn what is between.

        At the end of a block everything it has is remembered, and at the end of the capture what came behind it.
        """
        while not self._ended and self._number < len(self._contents.blocks):
            block, given = self._opened(), self._given()
            lessons = [one for one in block.contents.lessons if one.at >= given]
            for stop in sorted({one.at for one in lessons} | {block.contents.rows}):
                if stop > given:
                    yield block, given, stop
                    given = stop
                for one in lessons:
                    if one.at == stop:
                        self._place.memory.learn(one.what, one.particulars)
            self._place.leave(block)
            self._number += 1
            self._block = None
            self._reach, self._left = 0, iter(())
        if not self._ended:
            self._ended = True
            self._place.finish(self._contents.end)

    def _opened(self) -> Block:
        if self._block is None:
            self._block = self.capture.block(self._number)
        return self._block

    def _given(self) -> int:
        """Return how many values of the block were given."""
        return self._reach - length_hint(self._left)

    def _refusals(self) -> Refusals:
        if self._block is not None:
            self._place.settle_others(self._block, self._given())
        return self._place.refusals

    def _found(self, position: Mapping[str, Any]) -> tuple[int, int]:
        """Return number of the block and count of its values for a place in the text; (-1, 0) when it has none."""
        blocks = self._contents.blocks
        try:
            line = int(position["line"]) + int(position["skip"]) - 1
            if position["ended"]:
                return len(blocks) - 1, blocks[-1].rows
        except (KeyError, TypeError, ValueError):
            return -1, 0
        number = bisect_right(blocks, line, key=lambda one: one.begin["line"] + one.begin["skip"] - 1) - 1
        if number < 0:
            return -1, 0
        block = self.capture.block(number)
        given = bisect_left(range(blocks[number].rows), line, key=block.line_after)
        return (number, given) if block.line_after(given) == line else (-1, 0)


class _Place:
    """The memory of the rows given so far, brought up to date when it is asked for."""

    def __init__(self, memory: RowMemory, notes: Sequence[Mapping[str, Any]]) -> None:
        self.memory = memory
        self.refusals = Refusals()
        self.notes = list(map(restored_note, notes))
        self._rows = 0  # of the block that the memory has
        self._others = 0  # of the block that are counted

    def settle(self, block: Block, given: int) -> None:
        """Remember the first ``given`` values of ``block`` and the rows before the last of them."""
        self.settle_others(block, given)
        if given > self._rows:
            self.memory.take(block.past_rows(self._rows, given))
            self._rows = given

    def settle_others(self, block: Block, given: int) -> None:
        """Count the rows without a value before the last of the first ``given`` values."""
        self._count_others(block, block.others_before(given))

    def leave(self, block: Block) -> None:
        """Remember all of ``block``, to the end; the next rows are those of the next one."""
        self.settle(block, block.contents.rows)
        self._count_others(block, len(block.others))
        self._rows = self._others = 0

    def _count_others(self, block: Block, before: int) -> None:
        if before == self._others:
            return
        reasons, codes = block.contents.reasons, block.column("other_reasons")
        examples = {one.other: one.example for one in block.contents.examples}
        for at in range(self._others, before):
            reason = reasons[codes[at]]
            if reason:
                self.refusals.count(reason, examples.get(at))
        self._others = before

    def position(self, block: Block, given: int) -> dict[str, Any]:
        """Return the position of the text behind the first ``given`` values of ``block``."""
        self.settle(block, given)
        begin = block.contents.begin
        places = {name: begin[name] for name in ("offset", "line", "skip")}
        if given:
            text = block.text_block_after(given)
            places = {"offset": text.offset, "line": text.first, "skip": block.line_after(given) - text.first + 1}
        return {
            "source_id": begin["source_id"],
            **places,
            "ended": False,
            "parser": self.memory.state(),
            "refused": self.refusals.state(),
            "notes": msgspec.to_builtins(self.notes),
        }

    def move_to(self, contents: Contents, block: Block, given: int, position: Mapping[str, Any]) -> bool:
        """Remember what the text does at ``position``; return whether that is what it is there.

        For a place that remembers nothing yet. The place behind the last row is that of ``contents.end``.
        """
        stored = contents.end if position["ended"] else block.contents.begin
        self.memory.restore(stored["parser"])
        self.refusals.restore(stored["refused"])
        self.notes = list(map(restored_note, stored["notes"]))
        if position["ended"]:
            return _same_memory(contents.end, position)
        for one in block.contents.lessons:
            if one.at < given:
                self.memory.learn(one.what, one.particulars)
        return _same_memory(self.position(block, given), position)

    def finish(self, end: Mapping[str, Any]) -> None:
        """Take in what came behind the last value."""
        self.refusals.restore(end["refused"])
        self.notes = list(map(restored_note, end["notes"]))


def _same_memory(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two positions remember the same, wherever the blocks of the text begin."""
    mine, theirs = ({key: value for key, value in each.items() if key not in _PLACES} for each in (one, other))
    return bool(msgspec.msgpack.encode(mine, order="sorted") == msgspec.msgpack.encode(theirs, order="sorted"))
