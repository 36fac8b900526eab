"""One YAML text becomes a tree in which every value knows where it was written.

The settings of a program that trades money must mean what a person reads. So this reader knows less than YAML:
no tags, no anchors and aliases, no tabs, no second document, no key twice; and it hands on the *text* of each
scalar, so that no number ever passes through a binary float. What is wrong is collected, not raised: a file is
reported whole.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import yaml

MAX_BYTES: Final = 262_144
"""Largest configuration file read; the files shipped are below 32 KiB."""
MAX_DEPTH: Final = 12
"""Deepest nesting read; the deepest setting has 6 levels."""
_SHOWN: Final = 60
_FORBIDDEN_CONTROL: Final = frozenset(chr(code) for code in range(32)) - {"\n", "\r", "\t"}


class Place(msgspec.Struct, frozen=True):
    """The place of a value: a file and its line (from 1), or ``--set`` / ``env NAME`` with line 0."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong: where, which setting (dotted, may be empty), what and what is allowed."""

    source: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = Place(self.source, self.line)
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class Scalar(msgspec.Struct, frozen=True):
    """A single value as its text; ``quoted`` when it was written in quotes or as a block."""

    text: str
    quoted: bool
    place: Place


class Listing(msgspec.Struct, frozen=True):
    """A list in a file."""

    items: tuple[Node, ...]
    place: Place


class Entry(msgspec.Struct, frozen=True):
    """A key of a mapping with its value."""

    key: Scalar
    value: Node


class Section(msgspec.Struct, frozen=True):
    """A mapping; the keys are unique."""

    entries: tuple[Entry, ...]
    place: Place

    def get(self, key: str) -> Entry | None:
        """Return the entry of ``key``; None when there is none."""
        return next((entry for entry in self.entries if entry.key.text == key), None)


Node: TypeAlias = Scalar | Listing | Section


class Document(msgspec.Struct, frozen=True):
    """The content of a file (``root`` None: only comments) and what is wrong with its form.

    ``complete`` is False when the text does not end with a newline, as a half-written file would not.
    """

    root: Section | None
    problems: tuple[Problem, ...]
    complete: bool = True


def read_document(path: Path) -> Document:
    """Read one configuration file. Never raises for what the file is or holds; problems are in the answer.

    Refused as a whole: a symbolic link, anything but a regular file, a file others may write, a file above
    :data:`MAX_BYTES`, one that changes while it is read, one that is not UTF-8 (`bad-yaml`, `unsafe-config-file`).
    """
    try:
        raw = _read_guarded(path)
    except (OSError, _Unusable) as error:
        return Document(None, (Problem(str(path), 0, "", _reason(error)),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Document(None, (Problem(str(path), line, "", "not UTF-8 text; save the file as UTF-8"),))
    return parse_document(text, str(path))


@lru_cache(maxsize=32)
def parse_document(text: str, source: str) -> Document:
    """Return the tree of a YAML text; ``source`` is named in every place.

    The newest few are kept: reading YAML takes longer than making the session, and a program that runs many
    backtests reads the same files each time.
    """
    complete = text.endswith("\n") or not text
    if problems := _forbidden_characters(text, source):
        return Document(None, tuple(problems), complete)
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not builder.accept(event):
                break
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax_problem(error, source))
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # the library lets bad escapes through as the latter
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1 if isinstance(error, yaml.YAMLError) else 0
        builder.refuse(line or builder.line, "holds a character or a number YAML does not have; remove it")
    return Document(builder.root_section(), tuple(builder.problems), complete)


def parse_value(text: str, place: Place) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the value of ``--set KEY=VALUE``: a scalar or a one-line list, by the rules of the files."""
    if "\n" in text or "\t" in text or not text.strip():
        return None, (Problem(place.source, 0, "", "needs one value on one line"),)
    builder = _Builder(place.source, lines=False)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not builder.accept(event):
                break
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        problem = getattr(error, "problem", None) or "characters that are not allowed"
        return None, (Problem(place.source, 0, "", f"not readable as YAML: {problem}"),)
    return builder.root, tuple(builder.problems)


def shown(text: str) -> str:
    """Return a value as messages quote it: escaped, and cut when long."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return ascii(cut).replace("\\u2026", "…") if not cut.isprintable() else f"'{cut}'"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean X?)"`` when a known word is close to ``word``, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


class _Unusable(Exception):
    """The error of a file that must not be read; its text gives the reason and the remedy."""


def _reason(error: OSError | _Unusable) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error)


def _read_guarded(path: Path) -> bytes:
    if path.is_symlink():
        raise _Unusable("is a symbolic link; put the file itself there")
    # Opened before it is judged, so that what was judged is what is read.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        _judge(before, path.parent)
        raw = file.read(MAX_BYTES + 1)
        after = os.fstat(descriptor)
    if len(raw) > MAX_BYTES:
        raise _Unusable(f"is larger than {MAX_BYTES} bytes, the limit of a configuration file")
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(raw) != after.st_size:
        raise _Unusable("changed while it was read; try again when it is saved")
    return raw


def _judge(file: os.stat_result, directory: Path) -> None:
    if not stat.S_ISREG(file.st_mode):
        raise _Unusable("is not a regular file")
    if os.name != "posix":
        return
    if file.st_mode & stat.S_IWOTH:
        raise _Unusable("may be written by everybody; take that right away: chmod o-w")
    above = directory.stat()
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise _Unusable("lies in a directory that everybody may write to; chmod o-w the directory")


def _forbidden_characters(text: str, source: str) -> list[Problem]:
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        if "\t" in line:
            problems.append(Problem(source, number, "", "a tab; use spaces"))
        elif not _FORBIDDEN_CONTROL.isdisjoint(line):
            problems.append(Problem(source, number, "", "a control character; remove it"))
    return problems


def _syntax_problem(error: yaml.MarkedYAMLError, source: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    return Problem(source, line, "", f"not readable as YAML: {error.problem or error.context}")


class _Open:
    """A mapping or list whose end has not been read."""

    __slots__ = ("is_section", "items", "key", "keys", "place")

    def __init__(self, *, is_section: bool, place: Place) -> None:
        self.is_section = is_section
        self.place = place
        self.items: list[Node | Entry] = []
        self.key: Scalar | None = None
        self.keys: dict[str, Place] = {}

    def close(self) -> Node:
        if self.is_section:
            return Section(tuple(item for item in self.items if isinstance(item, Entry)), self.place)
        return Listing(tuple(item for item in self.items if not isinstance(item, Entry)), self.place)


class _Builder:
    """Nodes from parser events; a stack of what is open, so depth costs no recursion."""

    def __init__(self, source: str, *, lines: bool = True) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.line = 1
        self._source = source
        self._lines = lines
        self._stack: list[_Open] = []
        self._documents = 0

    def root_section(self) -> Section | None:
        if isinstance(self.root, Section):
            return self.root
        if isinstance(self.root, Listing) or (isinstance(self.root, Scalar) and not _is_nothing(self.root)):
            self.refuse(self.root.place.line, "must hold 'key: value' lines, not a single value or a list")
        return None

    def refuse(self, line: int, message: str) -> None:
        self.problems.append(Problem(self._source, line if self._lines else 0, "", message))

    def accept(self, event: yaml.Event) -> bool:
        """Accept one parser event; return False when the rest must not be read."""
        self.line = line = _line_of(event)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self.refuse(line, "a second YAML document ('---'); keep one document per file")
                return False
        elif isinstance(event, yaml.AliasEvent):
            self.refuse(line, f"an alias (*{event.anchor}); write the value itself")
            self._add(Scalar("", True, self._place(line)))
        elif isinstance(event, yaml.NodeEvent):
            return self._node(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._add(self._stack.pop().close())
        return True

    def _node(self, event: yaml.NodeEvent, line: int) -> bool:
        if event.anchor is not None:
            self.refuse(line, f"an anchor (&{event.anchor}); write the value where it is used")
        if (tag := getattr(event, "tag", None)) is not None:
            self.refuse(line, f"a tag ({shown(tag)}); tags are not read here, write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            self._add(Scalar(event.value, event.style is not None, self._place(line)))
            return True
        if len(self._stack) >= MAX_DEPTH:
            self.refuse(line, f"nested deeper than {MAX_DEPTH} levels")
            return False
        is_section = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(is_section=is_section, place=self._place(line)))
        return True

    def _place(self, line: int) -> Place:
        return Place(self._source, line if self._lines else 0)

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if not parent.is_section:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = self._key_of(node, parent)
        else:
            if parent.key.text not in parent.keys:
                parent.keys[parent.key.text] = parent.key.place
                parent.items.append(Entry(parent.key, node))
            parent.key = None

    def _key_of(self, node: Node, parent: _Open) -> Scalar:
        if not isinstance(node, Scalar):
            self.refuse(node.place.line, "a list or mapping as key; keys are plain words")
            return Scalar("", True, node.place)
        if node.text in parent.keys:
            first = parent.keys[node.text].line
            again = f", first on line {first}" if self._lines else ""
            self.refuse(node.place.line, f"the key {shown(node.text)} is given twice{again}")
        return node


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _is_nothing(node: Scalar) -> bool:
    return not node.quoted and node.text in ("", "null", "~")
