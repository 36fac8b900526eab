"""What is not certain about KIS, as settings of the double. docs/concepts/kis-beliefs.md has the evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """Ways in which the double behaves; a test may change them while it runs."""

    # -- access and limits
    token_life_s: int = 86_400
    same_token_s: int = 6 * 3_600
    approval_life_s: int = 86_400
    token_spacing_s: int = 60
    live_per_s: int = 18
    paper_per_s: int = 1
    ledger_per_s: int | None = None
    """Calls of the account that the ledger takes in a second; None without a limit of its own."""
    old_tr_ids: bool = True
    """Whether the TR ids of orders from before 2025 are still taken."""
    every_field: bool = True
    """Whether a query without one of its fields, also one that may be empty, is refused."""
    needs_user_agent: bool = False
    """Whether a call without the header User-Agent is cut off."""

    # -- websocket
    trade_width: int = 47
    book_width: int = 63
    notice_width: int = 26
    encrypted: bool = True
    """Whether notices of fills are encrypted."""
    ping_s: float = 10.0
    silence_s: float = 30.0
    """Time without an answer to PINGPONG after which the connection is dropped."""
    most_registrations: int = 41
