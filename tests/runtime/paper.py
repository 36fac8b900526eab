"""Short paper sessions with a configuration directory, and commands to them while they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Command
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import SessionPlan
from tests.runtime.rig import command
from tests.sim.sessions import spike_plan

BEFORE = "symbol_weight_limit: 0.15\n"
TIGHTER = "symbol_weight_limit: 0.05\n"


def files_in(directory: Path) -> Path:
    """Make a configuration directory with one reloadable setting in it."""
    directory.mkdir()
    (directory / "risk.yaml").write_text(BEFORE, "utf-8")
    return directory


def paper(data_dir: Path, files: Path, *, resume: bool = False, **settings: str) -> SessionPlan:
    plan = spike_plan(data_dir, resume=resume)
    options = msgspec.structs.replace(plan.options, speed=1e4, config_dir=files, overrides=settings)
    return msgspec.structs.replace(plan, command="run", options=options, paced=True, overrides_for=lambda feed: {})


def answers(plan: SessionPlan, *commands: Command) -> list[Mapping[str, Any]]:
    """Run ``plan``, send it the commands one after the other, stop it, and return the answers."""
    directory, stop, left = plan.options.data_dir, StopFlag(), list(commands)
    assert directory is not None
    asked: list[Path] = []

    def progress(share: float | None, moment_ns: int) -> None:
        if asked and not asked[-1].exists():
            return
        if left:
            asked.append(write_command(directory, left.pop(0)))
        else:
            stop.request()

    run_session(plan, progress=progress, stop=stop)
    return [json.loads(path.read_text("utf-8")) for path in asked]


def answers_after(
    plan: SessionPlan, files: Path, text: str | None, name: str = "risk.yaml"
) -> list[Mapping[str, Any]]:
    """Reload while the session runs, after the file contains ``text`` (None: is removed); return the answer."""
    directory, stop = plan.options.data_dir, StopFlag()
    assert directory is not None
    asked: list[Path] = []

    def progress(share: float | None, moment_ns: int) -> None:
        if not asked:
            if text is None:
                (files / name).unlink()
            else:
                (files / name).write_text(text, "utf-8")
            asked.append(write_command(directory, command("reload")))
        elif asked[0].exists():
            stop.request()

    run_session(plan, progress=progress, stop=stop)
    return [json.loads(asked[0].read_text("utf-8"))]
