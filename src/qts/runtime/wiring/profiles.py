"""The profiles of a session: all rules of QTS, or plain: a strategy uses all cash and nothing limits it."""

from __future__ import annotations

from typing import Final

from qts.runtime.session.session_plan import Profile

PLAIN_SETTINGS: Final = {
    "runtime.audits": "end",
    "state.enabled": "false",
    "capital.pools": "one",
    "risk.exposure_limit": "1",
    "risk.symbol_weight_limit": "1",
    "risk.position_size_limit": "1",
    "risk.daily_loss_limit": "1",
    "risk.daily_loss_warning": "0.999999",
    "risk.order_rate_per_second": "1000000",
    "risk.order_rate_kept_for_exits": "0",
    "risk.max_open_orders": "100000",
    "risk.max_price_deviation": "0.3",
    "broker.limits.enabled": "false",
    "broker.sim.max_open_orders": "100000",
}
"""The settings of the plain profile: one pool, no operating state, limits that no long-only account reaches.

What protects the account stays: the comparison of the books, of a replay once at its end, impossible prices, tick
sizes, bands, cash.
"""


def settings_of(profile: Profile) -> dict[str, str]:
    """Return the settings that ``profile`` makes; they take precedence over the files, ``--set`` over them."""
    return dict(PLAIN_SETTINGS) if profile is Profile.PLAIN else {}
