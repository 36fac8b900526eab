"""Reloads the configuration of a running session: it is stored first, then put in force."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qts.clock import Clock
from qts.config.confirmation import VALID_S
from qts.config.loader import LoadedConfig
from qts.config.manager import ConfigManager, ReloadResult
from qts.db.session import SessionStore
from qts.runtime.control.commands import Answer, Reload
from qts.runtime.persistence.config_history import change_text, next_row
from qts.runtime.persistence.store_writer import StoreWriter


class ConfigReloader:
    """A reloader of the configuration files on an operator's command.

    ``put_in_force`` takes the new configuration, of which everything that may change while running is used.
    """

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
        """Reload the files and answer what has changed.

        Raises StorageError, with nothing put in force, when the new configuration cannot be stored.
        """
        result = self._manager.reload(actor=command.operator, reason=command.reason, confirm=command.confirm)
        if result.changed:
            # Stored before it is in force: a killed session may be resumed under any configuration it has accepted.
            rows = await self._writer.on_store(self._store.configs)
            now_ns = self._clock.time_ns()
            row = next_row(rows, result.current, now_ns, command.operator, command.reason)
            await self._writer.on_store(partial(self._store.accept_config, row))
            self._put_in_force(result.current)
        return _answer_of(result)


def _answer_of(result: ReloadResult) -> Answer:
    """Describe the result of a reload; it counts as refused when none of the changes is in force."""
    texts = [change_text(change) for change in result.applied]
    texts += [f"{change.path} needs a restart" for change in result.needs_restart]
    if result.to_confirm:
        raised = ", ".join(change_text(change) for change in result.to_confirm)
        texts.append(
            f"not in force yet, because more could pass: {raised}; if that is meant, repeat the reload within "
            f"{VALID_S // 60} minutes with --confirm {result.confirmation}"
        )
    refused = bool(result.warnings) or bool((result.needs_restart or result.to_confirm) and not result.applied)
    return Answer(done=not refused, answer="; ".join([*texts, *result.warnings]) or "nothing has changed")
