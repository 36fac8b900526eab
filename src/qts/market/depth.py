"""Order-book levels that stay text until they are read.

A raw capture has five level changes for every quote, and most are far from the touch. Turning all of them into
Decimals costs more than everything else together, so a depth row is only checked here (shape, digits, magnitude: a
few passes at memory speed) and taken apart on the first look at its levels.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol, SupportsIndex, TypeAlias, overload

import msgspec

PriceLevel: TypeAlias = tuple[Decimal, Decimal]
"""Price and size of one level of a book."""
Numbers: TypeAlias = Mapping[str, Decimal]
"""Numbers by their text; a text that is refused raises when it is looked up."""


class Lookup(Protocol):
    """Numbers by what stands for them: a text, an index, or the number itself."""

    def __getitem__(self, key: Any, /) -> Decimal:
        """Return the number; raises what a table of checked texts raises for one that is refused."""
        ...


Pairs: TypeAlias = tuple[Iterable[tuple[Any, Any]], Lookup, Lookup]

UNSORTED: Final = 0
RISING: Final = 1
FALLING: Final = 2
"""The order of the prices in one side of a book update, as far as it is known; RISING and FALLING are strict."""

_DIGITS: Final = b"0123456789"
_MAX_LEVELS: Final = 4_096
_SKELETON: Final = b"[" + b'[".","."],' * _MAX_LEVELS
# Digits become 9; quotes become dots, so that a number without digits on a side of its dot shows as "..".
_SHAPE: Final = bytes.maketrans(b'0123456789"', b"9999999999.")
_TOO_LONG: Final = b"9" * 13  # below a number can be too small, above too large
# Patterns of two and three bytes: here a compiled one is found twice as fast as with ``in``.
_find_no_digits: Final = re.compile(rb"\.\.").search
_find_zero: Final = re.compile(rb'\["0').search
_decode_plain: Final = msgspec.json.Decoder(tuple[tuple[Decimal, Decimal], ...]).decode
_decode_text: Final = msgspec.json.Decoder(list[tuple[str, str]]).decode


class KeptBook(NamedTuple):
    """The depth book of a symbol as all updates up to one of them leave it.

    ``limit``: the most levels of a side. ``updates``: how many updates of the symbol its source has given, the one
    before the book included: who has seen another number of them since an earlier kept book has missed some.
    ``state``: MessagePack of :meth:`qts.market.depth_book.DepthBook.export_state`.
    """

    limit: int
    updates: int
    state: bytes | memoryview


class UnreadLevels(Sequence[PriceLevel]):
    """A sequence of (price, size) that equals, hashes and pickles like the tuple it turns into when it is read."""

    __slots__ = ()

    @property
    def kept_book(self) -> KeptBook | None:
        """Return the book after the update that these levels are a side of; None where none is kept."""
        return None

    @property
    def order(self) -> int:
        """Return the order of the prices: UNSORTED (or not known), RISING or FALLING."""
        return UNSORTED

    def up_from(self, price: Decimal) -> Sequence[PriceLevel]:
        """Return the rest of RISING levels from ``price`` up."""
        return [level for level in self.read() if level[0] >= price]

    def down_from(self, price: Decimal) -> Sequence[PriceLevel]:
        """Return the rest of FALLING levels from ``price`` down."""
        return [level for level in self.read() if level[0] <= price]

    @abstractmethod
    def pairs(self) -> Pairs:
        """Return what :func:`pairs_of` returns."""

    @abstractmethod
    def read(self) -> tuple[PriceLevel, ...]:
        """Return the levels; a second call returns the same object."""

    def text(self) -> bytes:
        """Return the levels as the text of a JSON array of pairs of texts, without blanks."""
        return text_of(self.read())

    def __len__(self) -> int:
        return len(self.read())

    @overload
    def __getitem__(self, index: SupportsIndex) -> PriceLevel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PriceLevel, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> PriceLevel | tuple[PriceLevel, ...]:
        return self.read()[index]

    def __iter__(self) -> Iterator[PriceLevel]:
        return iter(self.read())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, UnreadLevels):
            return self.read() == other.read()
        return self.read() == other

    def __hash__(self) -> int:
        return hash(self.read())

    def __repr__(self) -> str:
        return repr(self.read())

    def __reduce__(self) -> tuple[type, tuple[tuple[PriceLevel, ...]]]:
        return tuple, (self.read(),)


class LazyLevels(UnreadLevels):
    """Levels that stay the JSON ``text`` until they are read.

    It must be plain (:func:`is_plain`): all of it can be used.
    """

    __slots__ = ("_kept_book", "_levels", "_prices", "_sizes", "_text")

    def __init__(self, text: bytes, prices: Numbers, sizes: Numbers) -> None:
        self._kept_book: KeptBook | None = None
        self._text = text
        self._prices = prices
        self._sizes = sizes
        self._levels: tuple[PriceLevel, ...] | None = None

    @property
    def kept_book(self) -> KeptBook | None:
        """Return the book after the update that these levels are a side of; None where none is kept."""
        return self._kept_book

    def keep(self, book: KeptBook) -> None:
        """Let ``book`` be the one after the update that these levels are a side of."""
        self._kept_book = book

    def pairs(self) -> Pairs:
        """Return what :func:`pairs_of` returns."""
        if self._levels is not None:
            return self._levels, AS_IT_IS, AS_IT_IS
        return _decode_text(self._text), self._prices, self._sizes

    def read(self) -> tuple[PriceLevel, ...]:
        """Return the levels; the text is dropped."""
        if self._levels is None:
            self._levels = _decode_plain(self._text)
            self._text = b""
        return self._levels

    def text(self) -> bytes:
        """Return the text."""
        return self._text or text_of(self.read())


class _AsItIs(dict[Decimal, Decimal]):
    """A table for numbers that are numbers already."""

    __slots__ = ()

    def __missing__(self, number: Decimal) -> Decimal:
        return number


AS_IT_IS: Final = _AsItIs()


def pairs_of(levels: Sequence[PriceLevel]) -> Pairs:
    """Return the levels as pairs, for a reader of few of them, and two tables to look up what the parts mean.

    ``prices[pair[0]]`` and ``sizes[pair[1]]`` are the numbers; of a lazy sequence the rest stays text.
    """
    return levels.pairs() if isinstance(levels, UnreadLevels) else (levels, AS_IT_IS, AS_IT_IS)


def text_of(levels: Iterable[PriceLevel]) -> bytes:
    """Return levels as the text of a JSON array of pairs of texts, without blanks."""
    return msgspec.json.encode([[str(price), str(size)] for price, size in levels])


def levels_of(text: bytes, prices: Numbers, sizes: Numbers) -> Sequence[PriceLevel]:
    """Return the levels in the JSON array ``text``; raises RowRefused or msgspec.DecodeError when they are none.

    Plain ones (nearly all) stay lazy; whatever looks unusual is read, and judged, at once.
    """
    if text == b"[]":
        return ()
    return LazyLevels(text, prices, sizes) if is_plain(text) else read_levels(text, prices, sizes)


def sides_of(
    bids: bytes, asks: bytes, prices: Numbers, sizes: Numbers
) -> tuple[Sequence[PriceLevel], Sequence[PriceLevel]]:
    """Return :func:`levels_of` of both sides of a row: plain ones, as one list, are looked through in one go."""
    if bids != b"[]" and asks != b"[]" and is_plain(bids[:-1] + b"," + asks[1:]):
        return LazyLevels(bids, prices, sizes), LazyLevels(asks, prices, sizes)
    return levels_of(bids, prices, sizes), levels_of(asks, prices, sizes)


def read_levels(text: bytes, prices: Numbers, sizes: Numbers) -> tuple[PriceLevel, ...]:
    """Return the levels, read now; raises like :func:`levels_of`."""
    return tuple([(prices[price], sizes[size]) for price, size in _decode_text(text)])


def is_plain(text: bytes) -> bool:
    """Return whether valid JSON ``text`` is ``[["digits.digits","digits.digits"],…]`` with sane prices above zero.

    Without digits such a text is one level repeated, so a few passes at memory speed decide. Prices below 1 are
    left to the full check (they might be zero), as are numbers of 13 digits in a row.
    """
    skeleton = text.translate(None, _DIGITS)
    if not skeleton.endswith(b'"]]') or not _SKELETON.startswith(skeleton[:-1]):
        return False
    shape = text.translate(_SHAPE)
    return _TOO_LONG not in shape and _find_no_digits(shape) is None and _find_zero(text) is None
