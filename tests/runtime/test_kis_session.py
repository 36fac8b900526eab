"""Sessions on the live feed of KIS, from the command's plan to the stored result, against the double."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.session.session_view import read_view
from qts.runtime.wiring.plans import paper_plan
from tests.doubles.kis import KisDouble

BUYER = """
from qts.kit import Intent, Side, Strategy

class Buyer(Strategy):
    symbols = ("005930",)
    def on_start(self, ctx):
        self.done = False
    def on_quote(self, ctx, quote):
        if self.done or quote.ask is None or quote.last is None:
            return ()
        self.done = True
        return [Intent(quote.symbol, Side.BUY, 1.0, qty=10, reason="to hold some")]
"""


@contextmanager
def on_thread(script: Callable[[KisDouble], Coroutine[Any, Any, object]], **given: Any) -> Iterator[KisDouble]:
    """Serve a double on a thread of its own and run ``script`` there until the block ends."""
    kis = KisDouble(**given)
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with kis:
            playing = asyncio.create_task(script(kis))
            ready.set()
            while not over.is_set():
                await asyncio.sleep(0.005)
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield kis
    finally:
        over.set()
        thread.join(30)


def settings_for(kis: KisDouble, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the settings of a session on ``kis``, and put its keys into the environment."""
    kind = "paper" if kis.is_paper else "live"
    keys = kis.keys
    for name, text in (
        ("APP_KEY", keys.appkey),
        ("APP_SECRET", keys.appsecret),
        ("ACCOUNT", f"{keys.account}-{keys.product}"),
        ("HTS_ID", keys.hts_id),
    ):
        monkeypatch.setenv(f"QTS_KIS_{kind.upper()}_{name}", text)
    return {
        "broker.kis.account": kind,
        f"broker.kis.{kind}_rest": kis.rest_url,
        f"broker.kis.{kind}_websocket": kis.ws_url,
        "broker.kis.stream.command_ms": "1",
    }


async def quotes(kis: KisDouble) -> None:
    """Let prices come every 20 ms."""
    while True:
        kis.market.trade("005930", 70_000, 5)
        kis.market.quote("005930", 69_900, 70_000)
        await asyncio.sleep(0.02)


def test_simulated_fills_on_live_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """given prices of KIS, when a strategy buys 10 shares, then the simulated exchange fills them at the ask"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "run"
    stop = StopFlag()
    with on_thread(quotes, seed=3) as kis:
        settings = settings_for(kis, monkeypatch) | {"state.enabled": "false"}
        options = Options(strategies=(f"{strategy}:Buyer",), data_dir=directory, overrides=settings)

        def stop_when_filled(share: float | None, moment_ns: int) -> None:
            view = read_view(directory)
            if view is not None and view.counts.fills:
                stop.request()

        result = run_session(
            paper_plan(options, "kis", None), progress=stop_when_filled, stop=stop, machine=kis.clock
        )

    assert result.values.fills == 1
    assert result.values.positions == {"005930": "10"}
    view = read_view(directory)
    assert view is not None
    assert view.mode == "paper"
    assert result.values.source.startswith("live broker=sim ")
