"""Connects a broker with the session that listens to it, whichever of the two is made first."""

from __future__ import annotations

from collections.abc import Callable

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, OrderNews


class NewsRelay:
    """Passes on what a broker publishes; made before the broker, connected to who listens after it. Any thread."""

    def __init__(self) -> None:
        self._listener: Callable[[OrderNews | BrokerDisconnect], None] | None = None

    def connect(self, listener: Callable[[OrderNews | BrokerDisconnect], None]) -> None:
        """Have ``listener`` called with all news from now on. Called once."""
        self._listener = listener

    def __call__(self, news: OrderNews | BrokerDisconnect) -> None:
        """Pass on ``news``. Raises StateError before anybody listens: a lost fill is worse than a loud end."""
        if self._listener is None:
            raise StateError(f"the broker published {news} before the session listened")
        self._listener(news)
