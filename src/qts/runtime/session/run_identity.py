"""Names what a session runs on, for its run id, where the input has no content that could be hashed."""

from __future__ import annotations

import hashlib

from qts.clock import from_ns
from qts.errors import ContractError


def live_source_id(*, broker: str, account: str, mode: str, begun_ns: int) -> str:
    """Return the source id of a live session: which broker and account, in which mode, since when (ns, UTC).

    What a live feed gives cannot be had again, so nothing of it is part of the name: the same four give the same
    run, which alone may be resumed, and two sessions on one account differ by their begin. ``mode`` is what the
    broker calls its kind of account, such as real or paper. The account's number is hashed: the name stands in
    logs and reports. Raises ContractError when one of the three texts is blank.
    """
    for name, text in (("broker", broker), ("account", account), ("mode", mode)):
        if not text.strip():
            raise ContractError(f"a live session needs its {name}, got {text!r}")
    hidden = hashlib.sha256(f"{broker}/{account}".encode()).hexdigest()[:16]
    return f"live broker={broker} account={hidden} mode={mode} begun={from_ns(begun_ns).isoformat()}"
