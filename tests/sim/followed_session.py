"""Kills sessions that real servers follow, and resumes them: :mod:`tests.sim.killed_session` with servers.

python -m tests.sim.followed_session DIRECTORY SCENARIOS URL [SPREADSHEET]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from qts.runtime.session import server_follower
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.wiring.server import servers_of
from tests.sim import killed_session


def followed(plan: SessionPlan, url: str, sheets: str = "", environ: dict[str, str] | None = None) -> SessionPlan:
    """Return ``plan`` with the database of ``url``, and the spreadsheet of that URL beside it."""
    options = msgspec.structs.replace(plan.options, db=url, sheets=sheets)
    return msgspec.structs.replace(plan, servers=servers_of(options, environ or {}))


def main(directory: str, scenarios: str, url: str, sheets: str = "") -> None:
    """Run every scenario with the servers; a spreadsheet is sent what there is at once."""
    environ = {name: value for name, value in os.environ.items() if name == "QTS_SHEETS_CREDENTIALS"}
    server_follower._SHEETS_GATHER_S = 0.05  # type: ignore[misc]

    def plan_of(data_dir: Path, *, resume: bool, overrides: dict[str, str]) -> SessionPlan:
        plan = killed_session.killable_plan(data_dir, resume=resume, overrides=overrides)
        return followed(plan, url, sheets, environ)

    killed_session.PLANS = {"followed": plan_of}
    killed_session.main(directory, scenarios, "followed")


if __name__ == "__main__":
    main(*sys.argv[1:])
