"""The levels of a book frame, which stay the text of the frame until they are read."""

from __future__ import annotations

import re
from typing import Final

from qts.broker.kis import layouts as at
from qts.market.depth import AS_IT_IS, Numbers, Pairs, PriceLevel, UnreadLevels

_SHORT: Final = r"\^[0-9]{0,14}+"
_FIRST: Final = r"\^([0-9]{0,14}+)" + _SHORT * (at.LEVELS - 1)
plain_book: Final = re.compile(r"([^^]*+)\^([0-9]{6})\^[^^]*+" + _FIRST * 4 + r"\^", re.ASCII).match
"""Matches a record whose levels are short whole numbers or empty.

Its groups are symbol, time, and the texts of best ask, best bid and their sizes."""


class BookText:
    """The text of one book record and the tables by which its numbers are made; taken apart once."""

    __slots__ = ("_fields", "_text", "prices", "sizes")

    def __init__(self, text: str, prices: Numbers, sizes: Numbers) -> None:
        self._text = text
        self._fields: list[str] = []
        self.prices = prices
        self.sizes = sizes

    def fields(self) -> list[str]:
        """Return the fields of the record up to the end of its levels."""
        if not self._fields:
            self._fields = self._text.split("^", at.BOOK_SIDES_END)
            self._text = ""
        return self._fields


class Levels(UnreadLevels):
    """One side of a book, the best price first; a level without a price is left out.

    A text that is no number raises :class:`~qts.market.files.refusals.RowRefused` when it is read: the decoder lets
    nothing out that has one.
    """

    __slots__ = ("_is_ask", "_levels", "_source")

    def __init__(self, source: BookText, *, is_ask: bool) -> None:
        self._source: BookText | None = source
        self._is_ask = is_ask
        self._levels: tuple[PriceLevel, ...] = ()

    def pairs(self) -> Pairs:
        """Return what :func:`qts.market.depth.pairs_of` returns."""
        return self.read(), AS_IT_IS, AS_IT_IS

    def read(self) -> tuple[PriceLevel, ...]:
        """Return the levels; the text is dropped."""
        source = self._source
        if source is not None:
            fields, prices, sizes = source.fields(), source.prices, source.sizes
            prices_at, sizes_at = (at.ASKS, at.ASK_SIZES) if self._is_ask else (at.BIDS, at.BID_SIZES)
            price_texts = fields[prices_at : prices_at + at.LEVELS]
            size_texts = fields[sizes_at : sizes_at + at.LEVELS]
            self._levels = tuple(
                [
                    (prices[price], sizes[size or "0"])
                    for price, size in zip(price_texts, size_texts, strict=True)
                    if price.strip("0")
                ]
            )
            self._source = None
        return self._levels
