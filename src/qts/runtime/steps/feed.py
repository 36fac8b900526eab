"""Stands in the place of the feed of a session whose steps are repeated: it names instruments, sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qts.market.contracts import FeedGap, Instrument, MarketValue
from qts.market.session_info import SessionInfo


class StepFeed:
    """A :class:`~qts.market.contracts.LiveFeed` that is never run: values come with the steps.

    ``max_age_ns`` is that of the feed that was recorded, which told session info.
    """

    declares_volatility = False
    rows_refused: Mapping[str, int] = {}
    connected = False

    def __init__(self, name: str, instruments: Mapping[str, Instrument], max_age_ns: int) -> None:
        self.name = name
        self.instruments = instruments
        self.max_age_ns = max_age_ns

    def tell_session_info(self, on_info: Callable[[SessionInfo], object]) -> None:
        """Do nothing: infos come with the steps."""

    async def run(self, on_value: Callable[[MarketValue], object], on_gap: Callable[[FeedGap], object]) -> None:
        """Do nothing."""
