"""Copies the run of a data directory to a server, of a running session too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from qts.db.adapter import DataSourceAdapter
from qts.db.batch import rows_of
from qts.db.contracts import RunRow
from qts.db.find_run import FoundRun
from qts.db.lives import other_life
from qts.db.tools.local_runs import run_rows
from qts.errors import Fenced, StateError


class Imported(msgspec.Struct, frozen=True):
    """The outcome of an import: the server had the run up to batch ``before``, and has it up to ``applied`` now."""

    run_id: str
    account: str
    before: int
    applied: int
    rows: int


async def import_run(
    adapter: DataSourceAdapter, found: FoundRun, progress: Callable[[int], None] = lambda rows: None
) -> Imported:
    """Copy the run in ``found`` to the server; a second time, or after an interruption, it ends in the same rows.

    Of a simulated run what its newest checkpoint covers is copied. ``progress`` is told how many rows were sent.
    Raises StateError when another process writes the run there or nothing of it lasts yet, and what the adapter and
    the directory raise.
    """
    sent = 0

    def counted(bodies: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on the bodies, and count their rows."""
        nonlocal sent
        for body in bodies:
            yield body
            sent += sum(map(len, rows_of(body).values()))
            progress(sent)

    with run_rows(found) as local:
        run = local.run
        if not local.seq:
            raise StateError(
                f"{found.directory}: there is nothing to copy yet: a simulated run is copied as far as its newest "
                "checkpoint, and it has none"
            )
        before = await adapter.applied(run.run_id)
        try:
            epoch = await adapter.claim(run, whole_account=local.is_kept)
        except Fenced as error:
            if before >= local.seq:
                return Imported(run.run_id, run.account, before, before, 0)
            raise StateError(f"{error}: its session sends it already, so it needs no import") from error
        await require_same_life(adapter, run, "the directory")
        copy = local.copy()
        if before >= local.seq:
            await adapter.put_run(run, copy.files, copy.configs)
            return Imported(run.run_id, run.account, before, before, 0)
        applied = await adapter.load(msgspec.structs.replace(copy, bodies=counted(copy.bodies)), epoch)
        return Imported(run.run_id, run.account, before, applied, sent)


async def require_same_life(adapter: DataSourceAdapter, run: RunRow, holder: str) -> None:
    """Raise StateError when the store has rows of another life of a run that ``holder`` has: they are not mixed."""
    if (there := await other_life(adapter, run)) is not None:
        raise StateError(
            f"the server has run {run.run_id} as begun at {there.started_at}, and {holder} as begun at "
            f"{run.started_at}: the two are not mixed; qts db verify names what differs"
        )
