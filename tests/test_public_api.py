"""The public names: at most 25 names, light to open, and each is what its module says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qts

NAMES = {
    "Bar",
    "CallbackHandler",
    "Event",
    "EventDispatcher",
    "EventFactory",
    "EventPriority",
    "EventType",
    "Intent",
    "Lane",
    "ManualClock",
    "ManualOverride",
    "OperatingState",
    "OperatingStateManager",
    "Pool",
    "QtsError",
    "Quote",
    "SafetyState",
    "SafetyStateManager",
    "Side",
    "StateConfig",
    "Strategy",
    "SystemClock",
    "TransitionMetrics",
    "backtest",
    "create_event",
}


def loaded_by(code: str) -> set[str]:
    """Names of the modules a fresh interpreter has loaded after ``code``."""
    show = "\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_list_of_public_names_is_this_one() -> None:
    assert set(qts.__all__) == NAMES
    assert len(NAMES) <= 25


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_can_be_had_and_knows_itself(name: str) -> None:
    thing = getattr(qts, name)

    assert thing.__name__ == name
    assert thing.__module__.startswith("qts.")
    assert thing.__doc__, f"{name} does not say what it is"


def test_a_name_that_is_not_offered_says_what_is() -> None:
    with pytest.raises(AttributeError, match=r"Dispatchr.*it offers .*EventDispatcher"):
        _ = qts.Dispatchr


def test_the_names_are_listed_for_people_who_explore() -> None:
    assert set(dir(qts)) >= NAMES


def test_importing_the_package_loads_nothing() -> None:
    loaded = loaded_by("import qts")

    assert {name for name in loaded if name.startswith("qts.")} == set()
    assert "msgspec" not in loaded


def test_the_dispatcher_alone_needs_no_trading_runtime() -> None:
    loaded = loaded_by("from qts import EventDispatcher")

    for room in (
        "qts.runtime",
        "qts.pipeline",
        "qts.db",
        "qts.broker",
        "qts.ledger",
        "qts.risk.gate",
        "yaml",
        "rich",
    ):
        assert room not in loaded


def test_the_governor_alone_needs_no_dispatcher() -> None:
    loaded = loaded_by("from qts import OperatingStateManager, TransitionMetrics")

    assert {name for name in loaded if name.startswith(("qts.event", "qts.runtime", "qts.broker"))} == set()


def test_help_is_light() -> None:
    """What makes a command line slow is what it imports: help needs neither the runtime nor the plots."""
    loaded = loaded_by(
        "import sys\nfrom qts.cli.main import main\nsys.argv = ['qts', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )

    assert "qts.cli.main" in loaded
    for heavy in ("qts.runtime", "qts.event", "msgspec", "rich", "yaml", "matplotlib", "sqlite3", "asyncio"):
        assert heavy not in loaded, f"qts --help loads {heavy}"


def test_the_package_is_typed() -> None:
    assert (Path(qts.__file__).parent / "py.typed").exists()
