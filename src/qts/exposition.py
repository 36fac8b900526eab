"""Access to ``prometheus_client``, with which the collectors of the packages make their metric families.

It is an optional extra (``metrics``), imported when a collector is made.
"""

from __future__ import annotations

from types import ModuleType

from qts.errors import MissingExtraError


def prometheus_core() -> ModuleType:
    """Return ``prometheus_client.core``. Raises :class:`~qts.errors.MissingExtraError` when it is not installed."""
    try:
        from prometheus_client import core
    except ImportError:
        raise MissingExtraError("metrics for Prometheus", "metrics") from None
    return core
