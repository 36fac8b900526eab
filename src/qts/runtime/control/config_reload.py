"""Reloads the configuration of a running session: on disk first, then in force."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qts.clock import Clock
from qts.config.loader import LoadedConfig
from qts.config.manager import ConfigManager, ReloadResult
from qts.db.session import SessionStore
from qts.runtime.control.commands import Answer, Reload
from qts.runtime.persistence.config_history import change_text, next_row
from qts.runtime.persistence.store_writer import StoreWriter


class ConfigReloader:
    """Reads the files again when an operator asks for it. ``put_in_force`` gets what may change while running."""

    def __init__(
        self,
        manager: ConfigManager,
        store: SessionStore,
        writer: StoreWriter,
        clock: Clock,
        put_in_force: Callable[[LoadedConfig], None],
    ) -> None:
        self._manager = manager
        self._store = store
        self._writer = writer
        self._clock = clock
        self._put_in_force = put_in_force

    @property
    def config_hash(self) -> str:
        """Return the hash of the configuration in force."""
        return self._manager.current.hash

    async def reload(self, command: Reload) -> Answer:
        """Reload, and say what has changed. Raises StorageError, nothing changed, when that cannot be stored."""
        result = self._manager.reload(actor=command.operator, reason=command.reason)
        if result.changed:
            # On disk before it is in force: a killed session may be resumed under what it has accepted.
            rows = await self._writer.on_store(self._store.configs)
            now_ns = self._clock.time_ns()
            row = next_row(rows, result.current, now_ns, command.operator, command.reason)
            await self._writer.on_store(partial(self._store.accept_config, row))
            self._put_in_force(result.current)
        return _answer_of(result)


def _answer_of(result: ReloadResult) -> Answer:
    """Say what a reload did. It is refused when nothing that was wanted is in force."""
    texts = [change_text(change) for change in result.applied]
    texts += [f"{change.path} needs a restart" for change in result.needs_restart]
    refused = bool(result.warnings) or bool(result.needs_restart and not result.applied)
    return Answer(done=not refused, answer="; ".join([*texts, *result.warnings]) or "nothing has changed")
