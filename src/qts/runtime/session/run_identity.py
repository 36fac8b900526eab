"""Names the source of a live session for its run id, because a live input has no content to hash."""

from __future__ import annotations

import hashlib

from qts.clock import from_ns
from qts.errors import ContractError


def live_source_id(*, broker: str, account: str, mode: str, begun_ns: int) -> str:
    """Return the source id of a live session: broker, account, mode and start (``begun_ns``, ns since 1970 UTC).

    A live feed cannot be repeated, so none of its values are part of the id: the same four arguments are the same
    run, which may be resumed, and two sessions on one account differ by their start. ``mode`` is the broker's name
    of the kind of account, such as real or paper. The account number is hashed, because the id appears in logs and
    reports. Raises ContractError when one of the three texts is blank.
    """
    for name, text in (("broker", broker), ("account", account), ("mode", mode)):
        if not text.strip():
            raise ContractError(f"a live session needs its {name}, got {text!r}")
    hidden = hashlib.sha256(f"{broker}/{account}".encode()).hexdigest()[:16]
    return f"live broker={broker} account={hidden} mode={mode} begun={from_ns(begun_ns).isoformat()}"
