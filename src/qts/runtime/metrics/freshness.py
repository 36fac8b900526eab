"""Judges whether a value is recent enough to be known, and when that will change.

Times are ns of the session's clock.
"""

from __future__ import annotations

from qts.clock import NEVER_NS


def is_fresh(ts_ns: int, now_ns: int, max_age_ns: int) -> bool:
    """Return whether ``ts_ns`` is known (above 0), not in the future and at most ``max_age_ns`` old."""
    return ts_ns > 0 and 0 <= now_ns - ts_ns <= max_age_ns


def freshness_ends_ns(ts_ns: int, now_ns: int, max_age_ns: int) -> int:
    """Return the first moment after ``now_ns`` with another answer of :func:`is_fresh`; NEVER_NS for none."""
    if ts_ns <= 0 or now_ns - ts_ns > max_age_ns:
        return NEVER_NS
    return ts_ns if ts_ns > now_ns else ts_ns + max_age_ns + 1
