"""The one catalogue of safety codes.

Each entry names the safety state that the code leads to, its meaning, what happens by itself, when it counts as
cleared and how an operator recovers. A code that is not listed is accepted and judged by its prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from qts.errors import ContractError
from qts.safety.contracts import CodeKind, SafetyState

BROKER_FAILURES: Final = frozenset({"FS040", "FS042"})
"""The codes that only warn twice and lock down the third time."""

_QUIET: Final = "10 minutes without it"
_CHECKS: Final = "the recovery checks pass (reconcile clean)"
_OPERATOR: Final = "an operator releases it, with name and reason"
_WAIT: Final = "nothing to do: WARNING ends by itself once the cause stays away"
_RECOVER: Final = "remove the cause, let reconciliation run clean, then release it (qts safety release)"
_RELEASE: Final = "find and remove the cause, check the account at the broker, then release the lockdown"
_REDUCE_ONLY: Final = "no new orders; cancels and liquidations still go"


class CodeEntry(msgspec.Struct, frozen=True):
    """One line of the catalogue; ``target`` is the state it leads to from NORMAL."""

    code: str
    kind: CodeKind
    target: SafetyState
    meaning: str
    action: str
    clears: str
    recovery: str
    known: bool = True


def lookup(code: str) -> CodeEntry:
    """Return the catalogue's entry, or one made from the prefix for a code that is not listed.

    AN and GR lead to WARNING, FS and any unreadable prefix to FAIL. Raises
    :class:`~qts.errors.ContractError` unless ``code`` is a text that is not blank (≤ 64 characters).
    """
    if not isinstance(code, str) or not code.strip() or len(code) > 64:
        raise ContractError(f"a safety code is a text such as 'FS001', 'GR010' or 'AN001', got {code!r}")
    entry = CATALOGUE.get(code)
    return entry if entry is not None else _by_prefix(code)


def catalogue_rows() -> list[tuple[str, str, str, str, str, str, str]]:
    """Return the rows of the catalogue: code, kind, target, meaning, action, clears, recovery."""
    return [
        (e.code, e.kind.value, e.target.value, e.meaning, e.action, e.clears, e.recovery)
        for e in CATALOGUE.values()
    ]


def _by_prefix(code: str) -> CodeEntry:
    kind = _PREFIXES.get(code.strip()[:2].upper(), CodeKind.FAIL_SAFE)
    if kind is CodeKind.FAIL_SAFE:
        return CodeEntry(code, kind, SafetyState.FAIL, "unlisted fail-safe", _REDUCE_ONLY, _CHECKS, _RECOVER, False)
    return CodeEntry(
        code, kind, SafetyState.WARNING, f"unlisted {kind.value.lower()}", "warn", _QUIET, _WAIT, False
    )


_PREFIXES: Final = {"AN": CodeKind.ANOMALY, "GR": CodeKind.GUARDRAIL, "FS": CodeKind.FAIL_SAFE}


def _fail(code: str, meaning: str, action: str = _REDUCE_ONLY, recovery: str = _RECOVER) -> CodeEntry:
    return CodeEntry(code, CodeKind.FAIL_SAFE, SafetyState.FAIL, meaning, action, _CHECKS, recovery)


def _lock(code: str, meaning: str, action: str) -> CodeEntry:
    return CodeEntry(code, CodeKind.FAIL_SAFE, SafetyState.LOCKDOWN, meaning, action, _OPERATOR, _RELEASE)


def _warning(code: str, meaning: str, action: str, clears: str = _QUIET, recovery: str = _WAIT) -> CodeEntry:
    return CodeEntry(code, CodeKind.FAIL_SAFE, SafetyState.WARNING, meaning, action, clears, recovery)


def _guard(code: str, meaning: str, action: str, recovery: str = _WAIT) -> CodeEntry:
    return CodeEntry(code, CodeKind.GUARDRAIL, SafetyState.WARNING, meaning, action, _QUIET, recovery)


def _anomaly(code: str, meaning: str, action: str, recovery: str = _WAIT) -> CodeEntry:
    return CodeEntry(code, CodeKind.ANOMALY, SafetyState.WARNING, meaning, action, _QUIET, recovery)


_BROKER_CLEARS: Final = "the broker answers again and 10 minutes pass without it; the third failure locks down"

_ENTRIES: Final = (
    # fail-safes, general
    _fail("FS001", "schema mismatch", recovery="bring program and store to the same version, recover"),
    _fail("FS010", "a required raw field is missing"),
    _fail("FS020", "NaN or infinity in a value we computed", recovery="correct the transform, then recover"),
    _fail("FS030", "risk calculation error"),
    _warning("FS040", "broker execution error", "ask the broker before any new order on that key", _BROKER_CLEARS),
    _fail("FS041", "fill data incomplete", "quarantine the fill, ask the broker, no new orders"),
    _warning("FS042", "broker timeout", "the order is UNKNOWN until the broker's books show it", _BROKER_CLEARS),
    _fail(
        "FS043",
        "reject storm: the broker rejects order after order",
        recovery="find out from the broker why; recover when it takes orders again",
    ),
    _fail("FS050", "equity is zero or negative", recovery="check the account at the broker, book what is missing"),
    _fail("FS051", "exposure above 1.2 times its limit", recovery="reduce positions below the limit, then recover"),
    _fail(
        "FS052",
        "the day's loss is beyond its limit (5 % of the opening equity)",
        recovery="review, recover next day",
    ),
    _fail("FS060", "cycle time exceeded, or our clock is seconds from the broker's"),
    _fail(
        "FS061",
        "the session's event loop made no progress",
        "no new orders; after 5 s the process ends with exit code 75; a strategy that hung is halted at --resume",
        "read hang.txt or the session log for the place, correct it, then recover",
    ),
    _fail(
        "FS062",
        "an operator's command may not be received: no file can be opened, or the command directory cannot be read",
        recovery="free descriptors or repair the directory, wait for the log to say so, then recover",
    ),
    _fail(
        "FS070",
        "positions differ from the ledger or the broker",
        recovery="reconcile, book or explain it",
    ),
    _fail(
        "FS071",
        "stored history was altered while the session ran",
        recovery="find who writes into the store; the run is not resumed, begin a new one",
    ),
    # capital
    _lock("FS080", "total capital is zero or negative", "all pools stop; no new orders"),
    _fail("FS081", "a pool is negative", "lock that pool; no new orders"),
    _fail("FS082", "a pool has drawn down more than 20 %", "lock that pool and stop its trading"),
    _fail("FS083", "abnormal change of a pool", "stop all transfers between pools"),
    _fail("FS084", "pools do not add up to the account", "synchronise pools and account before anything else"),
    _fail("FS085", "pools must lock because safety is LOCKDOWN", "lock all pools", "release the lockdown first"),
    # execution and queues
    _fail("FS090", "every send of an order failed"),
    _fail("FS091", "the broker does not know the symbol", "abort the execution; no new orders"),
    _fail("FS092", "emergency escape", "cancel what is open, liquidate, go on until the broker confirms flat"),
    _fail("FS093", "fill timeout", "ask the broker for the order's fate"),
    _fail("FS094", "slippage over its limit", "stop adjusting the order; no new orders"),
    _fail("FS095", "the P0 queue overflowed (a producer waited over 1 s)", "the event is kept; no new orders"),
    _fail("FS096", "the P0 queue failed", "trading suspended until the queue is rebuilt"),
    _fail("FS097", "the P1 queue could not be rebuilt", "no new orders: prices would be blind"),
    _fail(
        "FS098",
        "a P0 event went to the dead letters",
        "later events of that order are held",
        "inspect and replay it",
    ),
    # micro-risk
    _fail("FS100", "the micro-risk loop crashed", "restart the loop, suspend the decision path"),
    _fail("FS101", "shadow positions are more than 1 s late", "force a synchronisation"),
    _warning("FS102", "emergency exit by the micro-risk loop", "the position is closed"),
    _warning("FS103", "the decision path was suspended by the micro-risk loop", "entries wait (60 s by default)"),
    _lock("FS104", "kill switch", "liquidate everything, suspend the decision path"),
    _warning("FS105", "price feed silent", "use the last price for exits, no entries on it"),
    # guardrails
    _guard("GR001", "exposure over its limit (95 % of equity)", "no entry that adds exposure"),
    _guard("GR010", "a symbol weighs more than 15 %", "no entry in that symbol"),
    _guard("GR020", "daily loss warning (−3 %)", "warn"),
    _guard("GR030", "conflicting signals", "the conflicting entries are dropped, exits win"),
    _guard("GR040", "position mismatch, or a sell without a position", "the order is refused"),
    # capital
    _guard("GR050", "pool targets do not add up to 100 %", "normalise them"),
    _guard("GR051", "a pool is under its minimum", "no transfer out of it"),
    _guard("GR052", "a pool is over its maximum", "no promotion into it"),
    _guard("GR053", "a transfer had to be reduced", "the transfer is cut to what is allowed"),
    _guard("GR054", "a transfer has to wait", "the transfer waits for the next day's limit"),
    _guard("GR055", "pools drifted more than 10 points from their targets", "rebalancing is due"),
    # execution
    _guard("GR060", "too many slices", "fewer, larger slices"),
    _guard("GR061", "insufficient balance", "the rest of the order is cancelled"),
    _guard("GR062", "daily trade limit", "no more entries today"),
    _guard("GR063", "slippage warning", "warn"),
    _guard("GR064", "slow fill", "warn"),
    # micro-risk
    _guard("GR070", "a stop was moved too often", "the stop stays where it is for a while"),
    _guard("GR071", "close to the maximum adverse excursion", "warn"),
    _guard("GR072", "close to the time limit of a trade", "warn"),
    _guard("GR073", "volatility warning", "warn"),
    _guard("GR074", "an emergency order failed", "retry; then fail-safe", "check the order at the broker"),
    # operating state
    _guard("GR080", "daily trade count of AGGRESSIVE reached", "no more entries today"),
    _guard("GR081", "pool imbalance in BALANCED", "rebalancing is due"),
    _guard("GR082", "an entry was tried in DEFENSIVE", "the entry is refused"),
    _guard("GR090", "critical-only mode", "only risk-reducing work goes on"),
    # anomalies
    _anomaly(
        "AN001",
        "a price that the market's daily band makes impossible",
        "it values and fills nothing, no strategy sees it; no entry in that symbol until its prices fit again",
        recovery="after a split use adjusted prices or cut the file at that day; WARNING ends by itself",
    ),
    _anomaly("AN010", "data missing", "the row is refused and counted"),
    _anomaly("AN020", "jump of profit and loss", "warn"),
    _anomaly("AN030", "ledger inconsistency", "warn; reconciliation is due"),
    _anomaly("AN040", "cycle time jumped (3 times the expected), or our clock differs from the broker's", "warn"),
    _anomaly("AN050", "slow broker, or the connection to it is down", "warn"),
    # strategies
    _anomaly(
        "AN060",
        "a strategy was halted: errors in a row, a failed start, a memory that cannot be kept, far too many orders",
        "what it holds is sold",
    ),
    _anomaly(
        "AN061",
        "a limit has stopped a strategy: the same execution again and again, or too many stop-outs on a day",
        "its entries are cancelled and it takes none; exits go on, holdings are kept",
        recovery="find out why, then release it (qts safety release --strategy NAME); after stop-outs the next day "
        "releases it",
    ),
)

CATALOGUE: Final[Mapping[str, CodeEntry]] = MappingProxyType({entry.code: entry for entry in _ENTRIES})
