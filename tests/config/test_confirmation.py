"""Limits of a running session: tighter at once, looser only when the reload is repeated with its confirmation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from qts.clock import ManualClock
from qts.config.changes import Change
from qts.config.confirmation import VALID_S
from qts.config.leaves import leaves
from qts.config.manager import ConfigManager, ReloadResult
from qts.config.tree import QTS, Layout, QtsConfig
from qts.risk import config as risk_config

HIGHER, LOWER = {"looser": "higher"}, {"looser": "lower"}
FULL = "most: 100\nkept: 8\nhard: 5\nname: a\n"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    most: Annotated[Decimal, Meta(ge=0, description="orders", extra=HIGHER)] = Decimal(100)
    kept: Annotated[int, Meta(ge=0, description="kept for exits", extra=LOWER)] = 8
    hard: Annotated[int, Meta(ge=0, description="orders", extra=HIGHER)] = 5
    name: Annotated[str, Meta(description="no limit")] = "a"
    barred: Annotated[tuple[str, ...], Meta(description="what is barred", extra={"looser": "fewer"})] = ("x", "y")

    def problems(self) -> list[tuple[str, str]]:
        return [("kept", "must be below most")] if self.kept >= self.most else []


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    gate: Annotated[Gate, Meta(description="Limits.")] = Gate()


LAYOUT = Layout(root=Gates, reloadable={"gate": frozenset({"most", "kept", "name", "barred"})})


class Rig:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "gate.yaml"
        self.clock = ManualClock(datetime(2026, 1, 22, tzinfo=UTC))
        self._write(FULL)
        self.manager = ConfigManager(directory, overrides={}, env={}, clock=self.clock, layout=LAYOUT)

    def _write(self, text: str) -> None:
        self._path.write_text(text, encoding="utf-8")

    def reload(self, text: str | None = None, confirm: str = "") -> ReloadResult:
        if text is not None:
            self._write(text)
        return self.manager.reload(actor="operator kim", reason="test", confirm=confirm)

    @property
    def gate(self) -> Gate:
        tree = self.manager.current.tree
        assert isinstance(tree, Gates)
        return tree.gate


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_tighter_limit_is_in_force_at_once(rig: Rig) -> None:
    # When one limit gets lower, and one that keeps more back higher
    result = rig.reload(FULL.replace("100", "99").replace("kept: 8", "kept: 9"))

    # Then both are in force, and nothing is asked
    assert (rig.gate.most, rig.gate.kept) == (Decimal(99), 9)
    assert (result.to_confirm, result.confirmation, result.warnings) == ((), "", ())


@pytest.mark.parametrize(
    ("barred", "is_asked"),
    [("[x, y]", False), ("[y, x, z]", False), ("[x]", True), ("[x, z]", True), ("[]", True)],
)
def test_a_list_of_what_is_barred_may_grow_and_loses_an_entry_once_that_is_confirmed(
    rig: Rig, barred: str, is_asked: bool
) -> None:
    result = rig.reload(f"{FULL}barred: {barred}\n")

    assert bool(result.to_confirm) is is_asked
    assert (rig.gate.barred == ("x", "y")) is (is_asked or barred == "[x, y]")


@pytest.mark.parametrize(
    ("line", "change"),
    [("most: 101", Change("gate.most", "100", "101")), ("kept: 7", Change("gate.kept", "8", "7"))],
)
def test_a_looser_limit_waits_for_its_confirmation(rig: Rig, line: str, change: Change) -> None:
    # Given a file in which a limit lets more pass than before
    name = line.partition(":")[0]
    text = "\n".join(line if one.startswith(name) else one for one in FULL.splitlines()) + "\n"

    # When it is loaded
    asked = rig.reload(text)

    # Then nothing has changed, and the answer says what would
    assert (asked.changed, asked.to_confirm, asked.applied) == (False, (change,), ())
    assert len(asked.confirmation) == 6
    assert rig.gate == Gate()

    # When the reload is repeated with the confirmation, then it is in force
    confirmed = rig.reload(confirm=asked.confirmation)
    assert (confirmed.applied, confirmed.to_confirm, confirmed.warnings) == ((change,), (), ())
    assert rig.manager.history[-1].applied == (change,)


def test_what_is_tighter_in_the_same_file_does_not_wait(rig: Rig) -> None:
    asked = rig.reload("most: 200\nkept: 9\nhard: 5\nname: b\n")

    assert (rig.gate.most, rig.gate.kept, rig.gate.name) == (Decimal(100), 9, "b")
    assert [one.path for one in asked.to_confirm] == ["gate.most"]
    assert [one.path for one in asked.applied] == ["gate.kept", "gate.name"]


def test_a_repeated_reload_without_the_confirmation_asks_again(rig: Rig) -> None:
    first = rig.reload(FULL.replace("100", "200"))
    rig.clock.advance(timedelta(seconds=1))
    second = rig.reload()

    assert rig.gate.most == 100
    assert second.confirmation != first.confirmation
    # and only the newer one holds
    assert "not the one that was asked for last" in rig.reload(confirm=first.confirmation).warnings[0]
    assert rig.gate.most == 100


@pytest.mark.parametrize(("seconds", "holds"), [(VALID_S - 1, True), (VALID_S, True), (VALID_S + 1, False)])
def test_a_confirmation_expires(rig: Rig, seconds: int, holds: bool) -> None:
    asked = rig.reload(FULL.replace("100", "200"))

    rig.clock.advance(timedelta(seconds=seconds))
    result = rig.reload(confirm=asked.confirmation)

    assert rig.gate.most == (200 if holds else 100)
    assert any("has expired" in text for text in result.warnings) is not holds
    assert bool(result.confirmation) is not holds  # a new one is asked for


def test_a_confirmation_stands_for_the_changes_that_were_shown(rig: Rig) -> None:
    # Given a confirmation for 200
    asked = rig.reload(FULL.replace("100", "200"))

    # When the file says 300 by the time it is given
    result = rig.reload(FULL.replace("100", "300"), confirm=asked.confirmation)

    # Then nothing has changed, and what there is now has to be confirmed
    assert rig.gate.most == 100
    assert "the files have changed since" in result.warnings[0]
    assert result.to_confirm == (Change("gate.most", "100", "300"),)
    assert rig.reload(confirm=result.confirmation).applied == (Change("gate.most", "100", "300"),)


def test_a_confirmation_holds_once(rig: Rig) -> None:
    asked = rig.reload(FULL.replace("100", "200"))
    rig.reload(confirm=asked.confirmation)
    rig.reload(FULL)  # tighter again

    again = rig.reload(FULL.replace("100", "200"), confirm=asked.confirmation)

    assert rig.gate.most == 100
    assert "not the one" in again.warnings[0]


def test_a_confirmation_of_nothing_is_refused_in_words(rig: Rig) -> None:
    assert "not the one" in rig.reload(confirm="abcdef").warnings[0]


def test_a_hard_limit_needs_a_restart_in_both_directions(rig: Rig) -> None:
    for hard in (4, 6):
        result = rig.reload(FULL.replace("hard: 5", f"hard: {hard}"))
        assert result.needs_restart == (Change("gate.hard", "5", str(hard)),)
        assert (result.to_confirm, result.confirmation) == ((), "")
    assert rig.gate.hard == 5


def test_what_only_fits_together_with_a_looser_limit_waits_with_it(rig: Rig) -> None:
    # Given a file in which more is kept than the present limit allows, and a higher limit
    asked = rig.reload("most: 300\nkept: 200\nhard: 5\nname: a\n")

    # Then nothing has changed
    assert rig.gate == Gate()
    assert "the changes that need no confirmation do not fit what stays" in asked.warnings[0]

    # When it is confirmed, then both are in force
    rig.reload(confirm=asked.confirmation)
    assert (rig.gate.most, rig.gate.kept) == (Decimal(300), 200)


def test_every_reloadable_number_of_the_gate_says_in_which_direction_more_passes() -> None:
    field = QTS.shape.field("risk")
    assert field is not None
    rows = {leaf.path: leaf.shape.looser for leaf in leaves(field.shape, QtsConfig().risk, "")}

    assert {name for name, looser in rows.items() if looser} == set(risk_config.RELOADABLE)
    assert rows["exposure_limit"] == rows["max_open_orders"] == rows["rejects_before_stop"] == "higher"
    assert rows["reject_wait_s"] == rows["market_order_allowance"] == rows["reject_storm_window_s"] == "lower"
