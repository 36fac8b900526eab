"""Reads for the limits of orders what they have to know of the session."""

from __future__ import annotations

from qts.runtime.shared_components import SharedComponents


class SessionFacts:
    """Reads of the session's memory for :class:`~qts.broker.gateway.limits.contracts.LimitFacts`."""

    def __init__(self, shared: SharedComponents) -> None:
        self._shared = shared
