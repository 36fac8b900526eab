"""Kills sessions that a real server follows, and resumes them: :mod:`tests.sim.killed_session` with a server.

python -m tests.sim.followed_session DIRECTORY SCENARIOS URL
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from qts.db.adapter import DataSourceAdapter
from qts.db.servers import opener_of
from qts.runtime.session.session_plan import NamedServers, SessionPlan
from tests.sim import killed_session


def followed(plan: SessionPlan, url: str) -> SessionPlan:
    """Return ``plan`` with the server of ``url``."""
    open_adapter = opener_of(url, {}, live=False)

    async def make() -> DataSourceAdapter:
        return open_adapter()

    return msgspec.structs.replace(plan, servers=NamedServers({"database": make}))


def main(directory: str, scenarios: str, url: str) -> None:
    """Run every scenario with the server."""

    def plan_of(data_dir: Path, *, resume: bool, overrides: dict[str, str]) -> SessionPlan:
        return followed(killed_session.killable_plan(data_dir, resume=resume, overrides=overrides), url)

    killed_session.PLANS = {"followed": plan_of}
    killed_session.main(directory, scenarios, "followed")


if __name__ == "__main__":
    main(*sys.argv[1:])
