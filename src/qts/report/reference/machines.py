"""Pages of what has states or priorities: events and queues, operating state, safety, orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from qts.event.config import EventConfig
from qts.event.contracts import TRAITS, EventPriority, EventType
from qts.event.dispatcher import SAFETY_TO_DEGRADATION
from qts.event.payloads import PAYLOAD_TYPES
from qts.execution.contracts import OrderState
from qts.execution.lifecycle import TABLE, Declined, OrderUpdate
from qts.execution.working import FINAL_STATES
from qts.report.reference.markdown import code, diagram, first_sentence, page, section, table, type_text, yes
from qts.safety.contracts import SafetyCause, SafetyState
from qts.safety.table import SAFETY_TABLE, AnswerKind
from qts.state.config import StateConfig, property_rows
from qts.state.contracts import OperatingState
from qts.state.transition import rule_rows, rules_of

CAUSES: Final[Mapping[SafetyCause, str]] = {
    SafetyCause.WARN: "an anomaly, a guardrail, or a fail-safe that the catalogue lets only warn",
    SafetyCause.FAIL_SAFE: "a fail-safe that does not stand yet",
    SafetyCause.FAIL_SAFE_REPEATED: "the fail-safe that already stands, again",
    SafetyCause.HALT: "kill switch, third broker failure, any code that leads to LOCKDOWN",
    SafetyCause.CLEARED: "the clear time has passed without any cause",
    SafetyCause.RECOVERY: "recovery was asked for, and the conditions hold",
    SafetyCause.RECOVERY_APPROVED: "recovery was asked for by a named operator with a reason",
    SafetyCause.RECOVERY_UNFIT: "recovery was asked for, and a condition fails or is unknown",
}
UPDATES: Final[Mapping[OrderUpdate, str]] = {
    OrderUpdate.SENT: "it was handed to the gateway, which sends it to the broker",
    OrderUpdate.ACCEPTED: "the broker took the order",
    OrderUpdate.REJECTED_ON_ENTRY: "the broker's first answer was no",
    OrderUpdate.NO_ANSWER: "the answer did not come in time",
    OrderUpdate.PARTIALLY_FILLED: "an execution, and something is left",
    OrderUpdate.FILLED: "the execution that completes the order",
    OrderUpdate.CANCELLED: "the rest will not be filled",
    OrderUpdate.REJECTED_LATER: "a rejection after the first answer",
    OrderUpdate.ABSENT: "the broker's own books prove that it never arrived",
    OrderUpdate.UNSENT: "the gateway proves that it never left",
}
_FLAGS: Final = ("requires_ack", "can_batch", "can_collapse", "can_drop")


def events_page() -> str:
    """Return the 23 types, their queues, what safety pauses, and every payload field by field."""
    return page(
        "Events",
        "A lower number goes first. P0 is never dropped; every loss of the others is counted.",
        section("Types", _types_table()),
        section("Queues", _queues_table()),
        section(
            "What a safety state pauses",
            "A paused priority refuses new events and counts them; what was queued waits.",
            table(
                ("safety", "degradation level", "lowest priority that runs"),
                [(s.value, code(d.value), d.lowest_allowed.name) for s, d in SAFETY_TO_DEGRADATION.items()],
            ),
        ),
        section("Payloads", *_payloads()),
    )


def operating_state_page() -> str:
    """Return the states' table and the four rules with their thresholds and hysteresis."""
    config = StateConfig()
    states = [state.value for state in OperatingState]
    edges = ((r.from_state.value, r.to_state.value, r.name) for r in rules_of(config))
    hold = ", ".join(f"{state.value} {config.hold_days(state):g}" for state in OperatingState)
    return page(
        "Operating state",
        "All values are defaults; `config/state.yaml` may change them.",
        section("What each state allows", table(("property", *states), property_rows(config))),
        section(
            "The four rules",
            "Comparisons are exactly as written. An unknown value makes its clause false. "
            "In LOCKDOWN nothing is evaluated.",
            table(("rule", "from", "to", "needs", "conditions"), rule_rows(config)),
            diagram(edges, config.default_state.value),
        ),
        section(
            "Hysteresis",
            table(
                ("what", "value", "a move to DEFENSIVE", "a move forced by safety"),
                [
                    (
                        "confirmation",
                        f"{config.confirmation_cycles} evaluations and {config.confirmation_hours:g} hours",
                        "obeys",
                        "skips",
                    ),
                    ("shortest stay, days", hold, "skips", "skips"),
                    ("cooldown after a transition", f"{config.cooldown_hours:g} hours", "skips", "skips"),
                    (
                        "manual override, longest",
                        f"{config.override_max_duration_days:g} days",
                        "waits",
                        "beats it",
                    ),
                ],
            ),
        ),
    )


def safety_page() -> str:
    """Return the total table of safety and its diagram."""
    moves = (
        (state.value, answer.to_state.value, cause.value)
        for (state, cause), answer in SAFETY_TABLE.items()
        if answer.kind is AnswerKind.MOVE
    )
    rows = [
        (state.value, cause.value, answer.kind.value.lower(), answer.to_state.value, answer.why)
        for (state, cause), answer in SAFETY_TABLE.items()
    ]
    return page(
        "Safety",
        "Entries are allowed in NORMAL and WARNING. In FAIL and LOCKDOWN only cancels and exits leave. "
        "The codes behind the causes are in [Safety codes](codes.md).",
        diagram(moves, SafetyState.NORMAL.value),
        section("Causes", table(("cause", "meaning"), [(c.value, CAUSES[c]) for c in SafetyCause])),
        section("Every state and every cause", table(("from", "cause", "answer", "then", "why"), rows)),
    )


def orders_page() -> str:
    """Return the total table of an order's life and its diagram."""
    edges = (
        (state.value, step.value, update.value)
        for state, answers in TABLE.items()
        for update, step in answers.items()
        if isinstance(step, OrderState) and step is not state
    )
    updates = tuple(OrderUpdate)
    matrix = [
        (f"**{state.value}**", *(_step(state, TABLE[state][update]) for update in updates)) for state in OrderState
    ]
    reasons = sorted({s.reason for answers in TABLE.values() for s in answers.values() if isinstance(s, Declined)})
    final = ", ".join(state.value for state in OrderState if state in FINAL_STATES)
    return page(
        "Orders",
        f"Final, as far as the broker's reports go: {final}. A late fill is booked all the same.",
        diagram(edges, OrderState.INTENT.value),
        section("Updates", table(("update", "meaning"), [(n.value, UPDATES[n]) for n in OrderUpdate])),
        section(
            "Every state and every update",
            "A dot keeps the state. *declined* keeps it too, and writes the reason into the order's note.",
            table(("state", *(n.value for n in updates)), matrix),
            "Reasons for declining:",
            "\n".join(f"- {reason}" for reason in reasons),
        ),
    )


def _step(state: OrderState, step: OrderState | Declined) -> str:
    if isinstance(step, Declined):
        return "*declined*"
    return "·" if step is state else step.value


def _types_table() -> str:
    rows = []
    for kind in EventType:
        traits = TRAITS[kind]
        payloads = ", ".join(f"[{p.__name__}](#{p.__name__.lower()})" for p in PAYLOAD_TYPES[kind])
        limit = f"{traits.max_process_time_ms} ms" if traits.max_process_time_ms else ""
        flags = (yes(bool(getattr(traits, flag))) for flag in _FLAGS)
        rows.append((code(kind.value), traits.priority.name, *flags, limit, payloads))
    return table(("type", "priority", *_FLAGS, "time limit", "payload"), rows)


def _queues_table() -> str:
    config = EventConfig()
    rows = []
    for priority in EventPriority:
        queue = config.queue_configs[priority]
        rows.append(
            (
                priority.name,
                f"{queue.capacity:,}",
                queue.overflow_policy.value,
                str(queue.batch_size),
                f"{queue.batch_timeout_ms} ms",
                f"{queue.sample_rate:g}",
            )
        )
    return table(
        ("priority", "capacity", "when full", "batch", "an incomplete batch waits at most", "sample rate"), rows
    )


def _payloads() -> Iterator[str]:
    seen: dict[str, type[msgspec.Struct]] = {}
    for kinds in PAYLOAD_TYPES.values():
        seen.update({kind.__name__: kind for kind in kinds})
    for name, kind in seen.items():
        rows = [(code(f.name), type_text(f.type), yes(f.required)) for f in msgspec.structs.fields(kind)]
        yield f"### {name}\n\n{first_sentence(kind.__doc__)}\n\n" + table(("field", "type", "required"), rows)
