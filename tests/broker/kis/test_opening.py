"""What an adapter of KIS needs to be made, and what stays away until then."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qts.clock import SystemClock
from qts.errors import MissingExtraError
from tests.broker.kis.wire import Wire
from tests.doubles.kis import DoubleClock

SHOW = "import sys; print([name for name in ('aiohttp', 'cryptography') if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    ["import qts.broker.kis.opening, qts.config.tree", "from qts.cli.main import build_parser; build_parser()"],
)
def test_nothing_of_the_extra_is_imported_before_an_adapter_is_made(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{code}; {SHOW}"], capture_output=True, text=True, check=True)
    assert "aiohttp" not in done.stdout
    assert "cryptography" not in done.stdout


@pytest.mark.parametrize("missing", ["aiohttp", "cryptography"])
async def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    async with Wire() as wire:
        parts = wire.parts(tmp_path)
        monkeypatch.setitem(sys.modules, missing, None)
        for make in (parts.rest, parts.broker):
            with pytest.raises(MissingExtraError, match=r"KIS needs the optional extra 'kis'"):
                make()


async def test_two_processes_ask_for_one_token(tmp_path: Path) -> None:
    """Each in an interpreter of its own, at the same moment, on the clock of the machine."""
    program = """
import asyncio, os, sys
from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import parts_of
from qts.clock import SystemClock
async def main():
    config = KisConfig(paper_rest=os.environ["URL"])
    rest = parts_of(config, os.environ, SystemClock(), live=False, tell=print).rest()
    print((await rest.tokens.token()).fingerprint)
    await rest.close()
asyncio.run(main())
"""
    async with Wire(DoubleClock(follow=SystemClock())) as wire:
        environ = {**os.environ, **wire.environ(tmp_path), "URL": wire.url}
        both = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, env=environ, stdout=asyncio.subprocess.PIPE
            )
            for _ in range(2)
        ]
        told = [(await one.communicate())[0] for one in both]
        assert told[0] == told[1] != b""
        assert wire.issued == 1
