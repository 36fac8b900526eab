"""The limits of what may be entered: the restricted list, and what the broker says of an instrument.

Where a source declares session info, what it has not told is unknown, and no entry leaves on it. Where it declares
none, those limits are not asked; nor is the list while it is empty.
"""

from __future__ import annotations

from qts.broker.gateway.limits.contracts import LimitCase, LimitRefusal


def restricted_symbols(case: LimitCase) -> LimitRefusal | None:
    """Refuse an entry in a symbol of the list."""
    symbol = case.request.symbol
    if symbol not in case.config.restricted_symbols:
        return None
    return LimitRefusal("restricted_symbols", f"{symbol} takes no entry, it is on the list")


def no_entry_status(case: LimitCase) -> LimitRefusal | None:
    """Refuse an entry while the instrument is halted or trades in call auctions, and while that is not known."""
    info, symbol = case.info, case.request.symbol
    if info is None or info.status is None:
        return LimitRefusal("no_entry_status", f"the broker has not told how {symbol} trades today")
    if info.status not in case.config.no_entry_status:
        return None
    return LimitRefusal("no_entry_status", f"{symbol} is {info.status.value}")


def no_entry_phases(case: LimitCase) -> LimitRefusal | None:
    """Refuse an entry while the venue where it would go is in a phase of the list, and while that is not known."""
    info, symbol, venue = case.info, case.request.symbol, case.request.venue
    phase = None if info is None else info.phases.get(venue)
    where = f"of {venue} " if venue else ""
    if phase is None:
        return LimitRefusal("no_entry_phases", f"the broker has not told the phase {where}for {symbol}")
    if phase not in case.config.no_entry_phases:
        return None
    return LimitRefusal("no_entry_phases", f"the phase {where}for {symbol} is {phase.value}")


def no_entry_designations(case: LimitCase) -> LimitRefusal | None:
    """Refuse an entry in an instrument that the exchange has marked, and while its marks are not known."""
    info, symbol = case.info, case.request.symbol
    if info is None or info.designations is None:
        return LimitRefusal("no_entry_designations", f"the broker has not told the marks of {symbol} today")
    found = [one.value for one in case.config.no_entry_designations if one in info.designations]
    return LimitRefusal("no_entry_designations", f"{symbol} is marked {', '.join(found)}") if found else None
