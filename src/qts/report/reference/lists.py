"""Pages that are lists: safety codes, settings, refusals, commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final

from qts.config.leaves import leaves
from qts.config.shape import Kind
from qts.config.tree import QTS
from qts.market.files.refusals import REASONS
from qts.report.meanings import INVARIANTS, REFUSALS
from qts.report.reference.markdown import code, page, section, table, yes
from qts.risk.contracts import Refusal
from qts.safety.codes import catalogue_rows
from qts.safety.contracts import CodeKind

ENTRIES, EXITS, FORCED = "entries", "exits", "forced exits"

ASKED_OF: Final[Mapping[Refusal, tuple[str, ...]]] = {
    **dict.fromkeys(Refusal, (ENTRIES,)),
    Refusal.DUPLICATE_INTENT: (ENTRIES, EXITS),
    Refusal.REJECTED_JUST_NOW: (ENTRIES, EXITS),
    Refusal.CONFLICTING_SIGNALS: (ENTRIES, EXITS),
    Refusal.ORDER_RATE_LIMIT: (ENTRIES, EXITS),
    Refusal.LIMIT_TOO_FAR: (ENTRIES, EXITS),
    Refusal.SIGNALS_PAUSED: (ENTRIES, EXITS),
    Refusal.LEVEL_ON_WRONG_SIDE: (ENTRIES, EXITS),
    Refusal.TAG_IN_USE: (ENTRIES, EXITS),
    Refusal.NOT_TAKEN_BY_BROKER: (ENTRIES, EXITS, FORCED),
    Refusal.WITHDRAWN: (ENTRIES, EXITS),
    **dict.fromkeys(
        (
            Refusal.MARKET_CLOSED,
            Refusal.UNKNOWN_SYMBOL,
            Refusal.PRICE_UNUSABLE,
            Refusal.PRICE_OUTSIDE_BAND,
            Refusal.OFF_TICK_GRID,
            Refusal.QTY_BELOW_LOT,
            Refusal.NOTHING_TO_SELL,
            Refusal.UNRESOLVED_ORDER,
        ),
        (ENTRIES, EXITS, FORCED),
    ),
}
"""The orders of which each question is asked; a test compares it with the rules of the gate."""

TYPES: Final[Mapping[Kind, str]] = {
    Kind.RECORD: "group",
    Kind.TABLE: "table",
    Kind.LIST: "list",
    Kind.BOOL: "true/false",
    Kind.INT: "whole number",
    Kind.FLOAT: "number",
    Kind.DECIMAL: "exact decimal",
    Kind.TEXT: "text",
    Kind.CHOICE: "choice",
}
_KINDS: Final = {CodeKind.FAIL_SAFE: "Fail-safes", CodeKind.GUARDRAIL: "Guardrails", CodeKind.ANOMALY: "Anomalies"}


def codes_page() -> str:
    """Return the catalogue of safety codes, one table for each family."""
    titles = ("code", "leads to", "meaning", "what happens by itself", "cleared when", "how to recover")
    tables = []
    for kind, title in _KINDS.items():
        rows = [(code(row[0]), *row[2:]) for row in catalogue_rows() if row[1] == kind.value]
        tables.append(section(title, table(titles, rows)))
    return page(
        "Safety codes",
        "“Leads to” is the state reached from NORMAL. A code that is not listed is judged by its prefix: AN and GR "
        "warn, anything else fails. The catalogue also names codes of components that do not exist yet.",
        *tables,
    )


def configuration_page() -> str:
    """Return every setting of every file."""
    defaults, sections = QTS.root(), []
    for name in QTS.sections:
        field = QTS.shape.field(name)
        assert field is not None
        rows = [
            (
                code(leaf.path),
                TYPES[leaf.shape.kind],
                code(leaf.text),
                leaf.shape.allowed(),
                _reloadable(leaf.path, leaf.shape.looser),
                leaf.shape.description,
            )
            for leaf in leaves(field.shape, getattr(defaults, name), name)
        ]
        titles = ("setting", "type", "default", "allowed", "reloadable", "meaning")
        sections.append(section(f"{name}.yaml", field.shape.description, table(titles, rows)))
    return page(
        "Configuration",
        "The first part of a key is its file. “Reloadable” settings may change while a session runs "
        "(`qts config reload`); the others need a restart. “yes, higher once confirmed” (or lower): a limit, "
        "which may let more pass only when the reload is repeated with its confirmation. How values are given: "
        "[Configuration guide](../guides/configuration.md).",
        *sections,
    )


def _reloadable(path: str, looser: str) -> str:
    may = yes(QTS.may_change(path))
    return f"{may}, {looser} once confirmed" if may and looser else may


def refusals_page() -> str:
    """Return why a signal was rejected, and why a row of an input file was not used."""
    asked = (ENTRIES, EXITS, FORCED)
    rows = [
        (code(reason.value), REFUSALS[reason.value][0], *(yes(who in ASKED_OF[reason]) for who in asked))
        for reason in Refusal
    ]
    return page(
        "Refusals",
        "A refusal is an ordinary outcome: it is counted under its name, stored with its numbers, and shown. Only "
        "`SIGNALS_PAUSED` is not stored: such a signal is refused before anything of it is computed.",
        section("Signals", table(("reason", "meaning", *asked), rows)),
        section(
            "Rows of an input file",
            table(("reason", "meaning"), [(code(reason), text) for reason, text in REASONS.items()]),
        ),
    )


def invariants_page() -> str:
    """Return what must always hold, by number."""
    return page(
        "Invariants",
        "A session checks those it can and counts the checks; one that was not checked is reported as unknown, "
        "never as held. A breach raises FS070, or the kill switch FS104 where money is concerned or when it comes "
        "back after it had held again.",
        table(("number", "what must hold"), [(f"{number:02d}", said[0]) for number, said in INVARIANTS.items()]),
    )


def command_line_page(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return every command with its arguments."""
    sections = [
        section(code(parser.prog), *_about(parser))
        for name in sorted(commands)
        for parser in _with_verbs(commands[name])
    ]
    return page(
        "Command line", "What each exit code means: [Runbook](../operations/runbook.md#exit-codes).", *sections
    )


def _with_verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    verbs = _verbs(parser)
    if not verbs:
        yield parser
    for verb in verbs.values():
        yield from _with_verbs(verb)


def _verbs(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: Mapping[str, argparse.ArgumentParser] = action.choices
            return found
    return {}


def _about(parser: argparse.ArgumentParser) -> Iterator[str]:
    if parser.description:
        yield parser.description
    rows = [
        (code(_spelling(action)), action.help or "")
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    if rows:
        yield table(("argument", "meaning"), rows)


def _spelling(action: argparse.Action) -> str:
    """Return an argument as it is written: ``--seed N``, ``[PREFIX]``, ``--mode paper``."""
    choices = "|".join(map(str, action.choices)) if action.choices else ""
    metavar = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper()
    if not action.option_strings:
        return {"?": f"[{metavar}]", "*": f"[{metavar} ...]"}.get(str(action.nargs), metavar)
    name = action.option_strings[-1]
    return name if action.nargs == 0 else f"{name} {metavar}"
