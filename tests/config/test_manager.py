"""Reloading while a session runs: what changes, what waits, what is refused, and what is remembered."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from qts.clock import ManualClock
from qts.config.changes import Change
from qts.config.manager import HISTORY_LIMIT, ConfigManager, LoadedConfig, ReloadResult
from qts.errors import ConfigError
from tests.config.sample import SAMPLE, Sample, given

START = datetime(2018, 2, 5, 0, 0, tzinfo=UTC)
FULL = "share: 0.5\ncount: 10\nratio: 0.25\nstep: 10\n"


class ManagerRig:
    """A manager on a directory, and the calls of its listener."""

    def __init__(self, directory: Path, alpha: str = FULL, overrides: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.clock = ManualClock(START)
        self.env = {"QTS_TOKEN": "one-1"}
        self.notified: list[tuple[LoadedConfig, LoadedConfig, ReloadResult]] = []
        given(directory, alpha)
        self.manager = ConfigManager(
            directory, overrides=overrides or {}, env=self.env, clock=self.clock, layout=SAMPLE
        )
        self.manager.add_listener(lambda old, new, result: self.notified.append((old, new, result)))

    @property
    def alpha(self) -> object:
        tree = self.manager.current.tree
        assert isinstance(tree, Sample)
        return tree.alpha

    def reload(self, alpha: str | None = None) -> ReloadResult:
        if alpha is not None:
            given(self.directory, alpha)
        self.clock.advance(timedelta(minutes=1))
        return self.manager.reload(actor="operator kim", reason="test")

    def refuses(self, alpha: str | None, warning: str) -> None:
        """Reload, and nothing changes but that a warning is recorded."""
        before = self.manager.current
        result = self.reload(alpha)
        assert not result.changed
        assert len(result.warnings) == 1
        assert warning in result.warnings[0]
        assert result.warnings[0].startswith("the configuration in force stays: ")
        assert self.manager.current is before is result.current
        assert self.notified == []
        assert self.manager.version == 1
        last = self.manager.history[-1]
        assert last.old_hash == last.new_hash == before.hash
        assert last.warnings == result.warnings


def test_a_wrong_configuration_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alpha\.share"):
        ManagerRig(tmp_path, "share: 7\n")


def test_the_first_load_is_recorded(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)

    (row,) = rig.manager.history
    assert (row.actor, row.reason, row.version, row.old_hash) == ("start", "first load", 1, "")
    assert row.new_hash == rig.manager.current.hash
    assert row.ts_ns == rig.clock.time_ns()


def test_values_that_may_change_are_swapped_at_once_and_announced_once(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    old = rig.manager.current

    result = rig.reload("share: 0.6\ncount: 11\nratio: 0.25\nstep: 10\n")

    assert result.changed
    assert result.warnings == result.needs_restart == ()
    assert result.applied == (Change("alpha.share", "0.5", "0.6"), Change("alpha.count", "10", "11"))
    assert (rig.alpha.share, rig.alpha.count) == (Decimal("0.6"), 11)  # type: ignore[attr-defined]
    assert rig.notified == [(old, rig.manager.current, result)]
    assert old.tree.alpha.share == Decimal("0.5")  # type: ignore[attr-defined]
    assert rig.manager.current.source_of("alpha.share") == f"{tmp_path}/alpha.yaml:1"


def test_a_reload_is_recorded_with_actor_time_reason_and_both_hashes(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    old_hash = rig.manager.current.hash

    rig.reload(FULL.replace("0.5", "0.6"))

    row = rig.manager.history[-1]
    assert (row.actor, row.reason, row.version) == ("operator kim", "test", 2)
    assert row.ts_ns == rig.clock.time_ns()
    assert row.old_hash == old_hash
    assert row.new_hash == rig.manager.current.hash != old_hash
    assert row.applied == (Change("alpha.share", "0.5", "0.6"),)


def test_an_unchanged_file_changes_nothing_and_is_not_announced(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    tree = rig.manager.current.tree

    result = rig.reload("# reworded\n" + FULL)

    assert not result.changed
    assert result.warnings == ()
    assert rig.manager.current.tree == tree
    assert rig.notified == []
    assert rig.manager.version == 1
    assert rig.manager.current.source_of("alpha.share") == f"{tmp_path}/alpha.yaml:2"


def test_what_needs_a_restart_is_named_and_keeps_its_value_and_place(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)

    result = rig.reload("# moved\nshare: 0.6\ncount: 10\nratio: 0.75\nstep: 10\n")

    assert result.applied == (Change("alpha.share", "0.5", "0.6"),)
    assert result.needs_restart == (Change("alpha.ratio", "0.25", "0.75"),)
    assert rig.alpha.ratio == 0.25  # type: ignore[attr-defined]
    assert rig.manager.current.source_of("alpha.ratio") == f"{tmp_path}/alpha.yaml:3"
    assert rig.manager.current.source_of("alpha.share") == f"{tmp_path}/alpha.yaml:2"


def test_only_waiting_changes_leave_hash_and_version(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    before = rig.manager.current.hash

    for _ in range(2):  # and the next reload names it again
        result = rig.reload(FULL.replace("0.25", "0.75"))
        assert not result.changed
        assert result.needs_restart == (Change("alpha.ratio", "0.25", "0.75"),)
    assert rig.manager.current.hash == before
    assert rig.manager.version == 1
    assert rig.notified == []


def test_the_hash_after_a_partial_reload_is_that_of_the_values_in_force(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    rig.reload("share: 0.6\ncount: 10\nratio: 0.75\nstep: 10\n")
    (tmp_path / "other").mkdir()

    same = ManagerRig(tmp_path / "other", "share: 0.6\ncount: 10\nratio: 0.25\nstep: 10\n")

    assert rig.manager.current.hash == same.manager.current.hash


def test_tables_change_as_a_whole(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path, "moods: {WILD: {depth: 7}}\nsymbols: {a: {market: CALM}}\n")

    result = rig.reload("moods: {WILD: {depth: 8}}\nsymbols: {a: {market: CALM, lot: 2}, b: {market: WILD}}\n")

    assert result.applied == (
        Change("alpha.moods.WILD.depth", "7", "8"),
        Change("alpha.symbols.a.lot", "1", "2"),
        Change("alpha.symbols.b.market", "absent", "WILD"),
        Change("alpha.symbols.b.lot", "absent", "1"),
    )
    assert result.needs_restart == ()


def test_a_new_secret_is_taken_over_without_being_shown(tmp_path: Path) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")
    rig = ManagerRig(tmp_path)
    rig.env["QTS_TOKEN"] = "canary-2"

    result = rig.reload()

    assert result.applied == (Change("beta.token", "***", "***"),)
    assert rig.manager.current.tree.beta.token == "canary-2"  # type: ignore[attr-defined]
    assert "canary" not in repr(result)


def test_set_keeps_going_before_the_file(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path, overrides={"alpha.share": "0.9"})

    result = rig.reload(FULL.replace("0.5", "0.6"))

    assert not result.changed
    assert rig.alpha.share == Decimal("0.9")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("share: 7\ncount: 10\nratio: 0.25\nstep: 10\n", "alpha.yaml:1: alpha.share: '7' is out of range"),
        ("share: 0.6\ncount: 0\nratio: 0.25\nstep: 10\n", "alpha.yaml:4: alpha.step: must not be above ten times"),
        ("share: 0.6\ncount: [1\n", "alpha.yaml:3: not readable as YAML"),
        # cut off after a line, inside the last value, and to nothing
        ("share: 0.6\ncount: 11\n", "alpha.yaml no longer gives ratio, step; write the value that is meant"),
        ("share: 0.6\nratio: 0.25\nstep: 10\ncount: 1", "alpha.yaml does not end with a newline"),
        ("", "alpha.yaml no longer gives count, ratio, share, step"),
    ],
)
def test_an_invalid_or_half_written_file_changes_nothing(tmp_path: Path, text: str, warning: str) -> None:
    ManagerRig(tmp_path).refuses(text, warning)


def test_a_deleted_file_changes_nothing(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    (tmp_path / "alpha.yaml").unlink()

    rig.refuses(None, "alpha.yaml is gone; put it back (an empty file is not enough), or restart without it")


def test_a_deleted_directory_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    rig = ManagerRig(tmp_path / "etc")
    shutil.rmtree(tmp_path / "etc")

    rig.refuses(None, "does not exist")


def test_a_file_without_permission_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = ManagerRig(tmp_path)

    def denied(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    rig.refuses(None, "alpha.yaml: cannot be read: Permission denied")


def test_a_file_that_became_world_writable_changes_nothing(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    given(tmp_path, FULL.replace("0.5", "0.6"))
    (tmp_path / "alpha.yaml").chmod(0o646)

    rig.refuses(None, "may be written by everybody")


def test_a_merge_that_contradicts_itself_is_refused_with_the_line(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path, "count: 1\nstep: 10\n")
    layout = type(SAMPLE)(root=SAMPLE.root, reloadable={"alpha": frozenset({"step"})})
    rig.manager = ConfigManager(tmp_path, overrides={}, env={}, clock=rig.clock, layout=layout)

    rig.refuses("count: 2\nstep: 20\n", "alpha.yaml:2: alpha.step: must not be above ten times count (1), got 20")
    assert rig.manager.history[-1].needs_restart == (Change("alpha.count", "1", "2"),)


def test_a_file_that_appears_is_read(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    given(tmp_path, FULL, beta="retries: 5\n")

    assert rig.reload().needs_restart == (Change("beta.retries", "3", "5"),)


def test_the_valid_file_after_a_refused_one_is_taken(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    rig.refuses("", "no longer gives")

    assert rig.reload(FULL.replace("0.5", "0.6")).changed
    assert [row.version for row in rig.manager.history] == [1, 1, 2]


def test_a_listener_that_fails_does_not_keep_the_news_from_the_others(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    rig.manager._listeners.insert(0, lambda *_: 1 / 0)

    result = rig.reload(FULL.replace("0.5", "0.6"))

    assert result.changed
    assert len(rig.notified) == 1
    assert result.warnings == (
        "a listener failed and may still use the old values: ZeroDivisionError('division by zero')",
    )
    assert rig.manager.history[-1].warnings == result.warnings


def test_the_history_in_memory_is_bounded(tmp_path: Path) -> None:
    rig = ManagerRig(tmp_path)
    rig.manager._history.extend([rig.manager.history[0]] * HISTORY_LIMIT)

    rig.reload()

    assert len(rig.manager.history) == HISTORY_LIMIT
    assert rig.manager.history[-1].actor == "operator kim"
