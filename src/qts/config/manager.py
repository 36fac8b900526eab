"""The configuration of a running session: read once, reloaded on request, swapped whole or not at all.

What may change while running is swapped in one assignment and announced; what may not is named and waits for a
restart; a limit that would let more pass waits until the reload is repeated with its confirmation; a file that
cannot be trusted (invalid, half-written, gone) changes nothing (`bad-reload`). Orders keep the hash of the
configuration they were approved under, so a reload never reaches back (`reload-mid-order`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import msgspec

from qts.clock import Clock
from qts.config.bind import Binder
from qts.config.changes import Change, changes_between, loosened
from qts.config.confirmation import Confirmations
from qts.config.document import Document, Listing, Node, Place, Problem, Section
from qts.config.leaves import config_hash
from qts.config.loader import LoadedConfig, Row, cross_check, examine, load_config, problem_text
from qts.config.shape import Kind, Shape
from qts.config.tree import QTS, Layout, QtsConfig
from qts.errors import QtsError

__all__ = [
    "ConfigManager",
    "HistoryRow",
    "LoadedConfig",
    "ReloadResult",
    "Row",
    "load_config",
]

HISTORY_LIMIT: Final = 1_000
"""Loads and reloads kept in memory; the listener that records them keeps all."""


class HistoryRow(msgspec.Struct, frozen=True):
    """One load or reload: actor, time (ns since the epoch), reason and effect.

    ``version`` counts the configurations in force, from 1.
    """

    ts_ns: int
    actor: str
    reason: str
    version: int
    old_hash: str
    new_hash: str
    applied: tuple[Change, ...] = ()
    needs_restart: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    to_confirm: tuple[Change, ...] = ()


class ReloadResult(msgspec.Struct, frozen=True):
    """The effect of a reload. ``warnings`` is not empty when something was refused or failed.

    ``applied`` are the changes now in force, ``needs_restart`` those that only a restart can bring, ``to_confirm``
    the limits that let more pass and wait for a reload with ``confirmation``, which is "" when none does.
    """

    changed: bool
    current: LoadedConfig
    record: HistoryRow
    confirmation: str = ""

    @property
    def applied(self) -> tuple[Change, ...]:
        """Return the changes now in force."""
        return self.record.applied

    @property
    def needs_restart(self) -> tuple[Change, ...]:
        """Return the changes that only a restart can bring."""
        return self.record.needs_restart

    @property
    def to_confirm(self) -> tuple[Change, ...]:
        """Return the limits that let more pass and wait for a confirmation."""
        return self.record.to_confirm

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what was refused or failed, as sentences for the operator."""
        return self.record.warnings


Listener: TypeAlias = Callable[[LoadedConfig, LoadedConfig, ReloadResult], None]
"""Called after a swap with the old and the new configuration and what changed."""


class ConfigManager:
    """The configuration in force. One thread reloads; any thread may read :attr:`current`.

    ``loaded`` is what these files gave already, when it was needed before there was a manager; None: load it now.
    ``machine`` is the clock of the people who confirm; None: ``clock``.
    Raises :class:`~qts.errors.ConfigError` when the first load finds anything wrong.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        overrides: Mapping[str, str],
        env: Mapping[str, str],
        clock: Clock,
        actor: str = "start",
        layout: Layout = QTS,
        loaded: LoadedConfig | None = None,
        machine: Clock | None = None,
    ) -> None:
        self._directory = directory
        self._overrides = dict(overrides)
        self._env = env
        self._clock = clock
        self._machine = clock if machine is None else machine
        self._layout = layout
        self._listeners: list[Listener] = []
        self._confirmations = Confirmations()
        self._current = loaded or load_config(directory, overrides, env, layout)
        self._history: deque[HistoryRow] = deque(maxlen=HISTORY_LIMIT)
        self._history.append(HistoryRow(clock.time_ns(), actor, "first load", 1, "", self._current.hash))

    @property
    def current(self) -> LoadedConfig:
        """Return the configuration in force. Take it once per decision: it is replaced as a whole."""
        return self._current

    @property
    def version(self) -> int:
        """Return the number of the configuration in force, from 1."""
        return self._history[-1].version

    @property
    def history(self) -> tuple[HistoryRow, ...]:
        """Return the loads and reloads, oldest first (the newest :data:`HISTORY_LIMIT`)."""
        return tuple(self._history)

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` after each swap, in the order of adding; what it raises becomes a warning."""
        self._listeners.append(listener)

    def reload(self, *, actor: str, reason: str = "", confirm: str = "") -> ReloadResult:
        """Read the files again and apply what may change while running. Never raises for what they hold.

        ``confirm``: the confirmation that an earlier reload gave for the limits that let more pass; "" for none.
        """
        old = self._current
        # The directory was determined before: one that vanished is a fault, not "all by default".
        found = examine(old.directory or self._directory, self._overrides, self._env, self._layout)
        if not isinstance(found, LoadedConfig):
            return self._keep_present(actor, reason, [problem_text(found)])
        if damage := list(_signs_of_damage(old.documents, found.documents)):
            return self._keep_present(actor, reason, damage)
        return self._swap(old, found, actor, reason, confirm)

    def _swap(self, old: LoadedConfig, found: LoadedConfig, actor: str, reason: str, confirm: str) -> ReloadResult:
        shape = self._layout.shape
        try:
            whole = tree = _merged(self._layout, shape, old.tree, found.tree, "")
            held, refusals = self._held(loosened(shape, old.tree, whole), confirm)
            if held:
                tree = _merged(self._layout, shape, old.tree, whole, "", frozenset(one.path for one in held))
        except (ValueError, TypeError, QtsError) as error:  # what a struct's own __post_init__ may raise
            return self._keep_present(actor, reason, [f"old and new values do not fit together: {error}"])
        confirmation = self._confirmations.issue(held, self._machine.monotonic_ns()) if held else ""
        waiting = changes_between(shape, whole, found.tree)
        if problems := _contradictions(tree, found, self._layout):
            what = "the changes that need no confirmation" if held else "the changes that need no restart"
            warning = f"{what} do not fit what stays: " + problem_text(problems)
            return self._keep_present(actor, reason, [warning, *refusals], waiting, held, confirmation)
        new = msgspec.structs.replace(
            found,
            tree=cast(QtsConfig, tree),
            hash=config_hash(self._layout.shape, tree),
            places=_places(old, found, (*waiting, *held)),
        )
        applied = changes_between(shape, old.tree, tree)
        self._current = new
        record = self._record(actor, reason, old.hash, applied, waiting, refusals, held)
        result = ReloadResult(bool(applied), new, record, confirmation)
        if applied and (failed := self._announce(old, new, result)):
            self._history[-1] = record = msgspec.structs.replace(record, warnings=(*refusals, *failed))
            result = msgspec.structs.replace(result, record=record)
        return result

    def _held(self, asked: tuple[Change, ...], confirm: str) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """Return the limits that stay as they are for now, and why ``confirm`` does not stand for them."""
        refusal = self._confirmations.why_refused(confirm, asked, self._machine.monotonic_ns())
        if confirm and not refusal:
            return (), ()
        return asked, (refusal,) if refusal else ()

    def _keep_present(
        self,
        actor: str,
        reason: str,
        warnings: Iterable[str],
        waiting: tuple[Change, ...] = (),
        held: tuple[Change, ...] = (),
        confirmation: str = "",
    ) -> ReloadResult:
        texts = tuple(f"the configuration in force stays: {text}" for text in warnings)
        record = self._record(actor, reason, self._current.hash, (), waiting, texts, held)
        return ReloadResult(False, self._current, record, confirmation)

    def _record(
        self,
        actor: str,
        reason: str,
        old_hash: str,
        applied: tuple[Change, ...],
        waiting: tuple[Change, ...],
        warnings: tuple[str, ...],
        held: tuple[Change, ...] = (),
    ) -> HistoryRow:
        row = HistoryRow(
            ts_ns=self._clock.time_ns(),
            actor=actor,
            reason=reason,
            version=self.version + bool(applied),
            old_hash=old_hash,
            new_hash=self._current.hash,
            applied=applied,
            needs_restart=waiting,
            warnings=warnings,
            to_confirm=held,
        )
        self._history.append(row)
        return row

    def _announce(self, old: LoadedConfig, new: LoadedConfig, result: ReloadResult) -> list[str]:
        failed = []
        for listener in self._listeners:
            try:
                listener(old, new, result)
            except Exception as error:  # noqa: BLE001 - one listener's fault must not keep the change from the others
                failed.append(f"a listener failed and may still use the old values: {error!r}")
        return failed


def _merged(layout: Layout, shape: Shape, old: Any, new: Any, path: str, held: frozenset[str] = frozenset()) -> Any:
    """Return the old value with the reloadable settings of the new one, but for those in ``held``.

    Tables and lists change as a whole.
    """
    if shape.kind is not Kind.RECORD or old is None or new is None:
        return new if path not in held and layout.may_change(path) else old
    values = {}
    for field in shape.fields:
        below = f"{path}.{field.name}" if path else field.name
        before, after = getattr(old, field.name), getattr(new, field.name)
        values[field.name] = _merged(layout, field.shape, before, after, below, held)
    return shape.type(**values)


def _contradictions(tree: object, found: LoadedConfig, layout: Layout) -> list[Problem]:
    binder = Binder({})
    binder.places = dict(found.places)
    return [problem for name in layout.sections for problem in cross_check(name, getattr(tree, name), binder)]


def _places(old: LoadedConfig, found: LoadedConfig, waiting: Iterable[Change]) -> dict[str, Place]:
    """Return where the values in force came from: a setting that waits for a restart keeps its old place."""
    late = {change.path for change in waiting}
    kept = {path: place for path, place in old.places.items() if path in late}
    return {path: place for path, place in found.places.items() if path not in late} | kept


def _signs_of_damage(old: Mapping[str, Document], new: Mapping[str, Document]) -> Iterable[str]:
    """Yield signs that a file is not what its writer means: gone, cut off, or with settings missing that it had.

    A cut-off YAML file is often still valid and would silently mean "all the rest by default". So a running
    session goes back to a default only when the default is written out.
    """
    for name, document in old.items():
        if name not in new:
            yield f"{name}.yaml is gone; put it back (an empty file is not enough), or restart without it"
            continue
        lost = _keys(document.root) - _keys(new[name].root)
        if lost:
            yield (
                f"{name}.yaml no longer gives {', '.join(sorted(lost))}; write the value that is meant,"
                " even if it is the default, or restart"
            )
    for name, document in new.items():
        if not document.complete:
            yield f"{name}.yaml does not end with a newline, so it may be half-written; end its last line"


def _keys(node: Node | None, path: str = "") -> set[str]:
    if isinstance(node, Section):
        below = [(f"{path}.{entry.key.text}" if path else entry.key.text, entry.value) for entry in node.entries]
        return {name for name, _ in below} | {key for name, value in below for key in _keys(value, name)}
    if isinstance(node, Listing):
        return {key for index, item in enumerate(node.items) for key in _keys(item, f"{path}[{index}]")}
    return set()
