"""Probes ask the double what is believed about KIS: where it holds, where it does not, where nothing shows it."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import parts_of
from qts.broker.kis.probes import Finding, Outcome, Probes
from tests.broker.kis.rig import SYMBOL, environ_of
from tests.doubles.kis import KisDouble, Settings

OK, DIFFERS, NOT_MEASURED = Outcome.OK, Outcome.DIFFERS, Outcome.NOT_MEASURED
Prepare = Callable[[KisDouble], object]
EXAMPLE = Path(__file__).parents[3] / "examples" / "ask_kis.py"


@asynccontextmanager
async def probes_of(cache: Path, *, paper: bool, wait_s: float = 5.0, **set_to: Any) -> AsyncIterator[Any]:
    """Serve a double with these settings, and probes of its customer."""
    settings = Settings(paper_per_s=18, matching="told", **set_to)
    kind = "paper" if paper else "live"
    async with KisDouble(seed=1, paper=paper, settings=settings) as kis:
        given = {"rest": kis.rest_url, "websocket": kis.ws_url, "requests_per_s": 18}
        config = KisConfig(account=kind, **{f"{kind}_{name}": one for name, one in given.items()})  # type: ignore[arg-type]
        told: list[str] = []
        parts = parts_of(config, environ_of(kis, cache), kis.clock, live=not paper, tell=told.append)
        probes = Probes(parts, SYMBOL, wait_s=wait_s)
        try:
            yield kis, probes
        finally:
            await probes.close()


async def test_the_example_asks_every_probe_and_shows_what_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given the example, with the keys and the address of the double
    example = runpy.run_path(str(EXAMPLE))
    async with KisDouble(seed=1, paper=True, settings=Settings(paper_per_s=18, matching="told")) as kis:
        for variable, value in environ_of(kis, tmp_path).items():
            monkeypatch.setenv(variable, value)
        config = partial(KisConfig, paper_rest=kis.rest_url, paper_websocket=kis.ws_url, paper_requests_per_s=18)
        in_its_place = {
            "KisConfig": config,
            "Probes": partial(Probes, wait_s=0.1),
            "SystemClock": lambda: kis.clock,
        }
        for name, one in in_its_place.items():
            monkeypatch.setitem(example["ask"].__globals__, name, one)

        # When it is run
        await example["ask"]()

    # Then each line names a probe, how it went, what was believed and what was seen
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["token-life", "ok"] in [line[:2] for line in lines]
    assert {line[1] for line in lines} <= {outcome.value for outcome in Outcome} | {"not"}


def orders(kis: KisDouble) -> None:
    """Place more orders than are on a page of a paper account."""
    for _ in range(20):
        kis.by_hand("buy", SYMBOL, 1, 60_000)


def holdings(kis: KisDouble) -> None:
    """Hold more names than are on a page of a paper account."""
    for number in range(25):
        code = f"{100_000 + number * 10}"
        kis.market.add(code, 10_000)
        kis.hold(code, 1, 10_000)


def halted(kis: KisDouble) -> None:
    """Halt the name that is asked about."""
    kis.market.halt(SYMBOL)


@pytest.mark.parametrize(
    ("probe", "prepare", "set_to", "outcome", "seen"),
    [
        ("token_life", None, {}, OK, "24.0 hours"),
        ("token_life", None, {"token_life_s": 43_200}, DIFFERS, "12.0 hours"),
        ("token_life", None, {"token_life_s": 172_800}, DIFFERS, "48.0 hours"),
        ("clock", None, {}, OK, "at least 0 ms apart"),
        ("clock", None, {"date_offset_s": 30.0}, DIFFERS, "at least"),
        ("clock", None, {"date_offset_s": -30.0}, DIFFERS, "at least"),
        ("every_field", None, {}, OK, "OPSQ2001"),
        ("every_field", None, {"every_field": False}, DIFFERS, "HTTP 200"),
        ("not_paper", None, {}, OK, "EGW02006"),
        ("not_paper", None, {"not_paper_tr": "EGW00213"}, DIFFERS, "EGW00213"),
        ("order_rows", None, {}, NOT_MEASURED, "0 orders of today, all on one page"),
        ("order_rows", orders, {}, OK, "15 orders of today on the first of 2 pages"),
        ("order_rows", orders, {"paper_rows": 10}, DIFFERS, "10 orders of today on the first of 2 pages"),
        ("order_rows", orders, {"paper_rows": 50}, DIFFERS, "20 orders of today on the first of 1 pages"),
        ("holding_rows", None, {}, NOT_MEASURED, "0 holdings, all on one page"),
        ("holding_rows", holdings, {}, OK, "20 holdings on the first of 2 pages"),
        ("holding_rows", holdings, {"paper_holdings": 9}, DIFFERS, "9 holdings on the first of 3 pages"),
        ("venue_column", None, {}, NOT_MEASURED, "no order of today"),
        ("venue_column", orders, {}, OK, "excg_id_dvsn_cd"),
        ("venue_column", orders, {"venue_column": "excg_id_dvsn_Cd"}, DIFFERS, "excg_id_dvsn_Cd"),
        ("venue_column", orders, {"venue_column": "venue"}, DIFFERS, "no such column"),
        ("halt", None, {}, NOT_MEASURED, f"{SYMBOL} is not halted"),
        ("halt", halted, {}, OK, "state 58, temp_stop_yn N"),
        ("halt", halted, {"halt_in_temp_stop": True}, DIFFERS, "state 58, temp_stop_yn Y"),
    ],
)
async def test_a_belief_is_measured(
    probe: str, prepare: Prepare | None, set_to: dict[str, Any], outcome: Outcome, seen: str, tmp_path: Path
) -> None:
    """given KIS as believed, or another way, then the probe says so, and what it saw"""
    async with probes_of(tmp_path, paper=True, **set_to) as (kis, probes):
        if prepare is not None:
            prepare(kis)
        found, text = await getattr(probes, probe)()
    assert found is outcome
    assert seen in text


@pytest.mark.parametrize(
    ("probe", "set_to", "outcome", "seen"),
    [
        ("trade_fields", {}, OK, "47 fields"),
        ("trade_fields", {"trade_width": 46}, DIFFERS, "46 fields"),
        ("book_fields", {}, OK, "63 fields"),
        ("book_fields", {"book_width": 59}, OK, "59 fields"),
        ("book_fields", {"book_width": 61}, DIFFERS, "61 fields"),
    ],
)
async def test_fields_of_frames_are_counted(
    probe: str, set_to: dict[str, Any], outcome: Outcome, seen: str, tmp_path: Path
) -> None:
    """given a name that trades, then the fields of its frames are counted, and the connection is given back"""
    async with probes_of(tmp_path, paper=True, **set_to) as (kis, probes):
        trading = asyncio.create_task(_trades(kis))
        try:
            found, text = await getattr(probes, probe)()
        finally:
            trading.cancel()
            with suppress(asyncio.CancelledError):
                await trading
        async with asyncio.timeout(5):
            while kis.sockets.sessions:
                await asyncio.sleep(0.01)
    assert (found, text) == (outcome, seen)


async def _trades(kis: KisDouble) -> None:
    while True:
        kis.market.quote(SYMBOL, 69_900, 70_000)
        kis.market.trade(SYMBOL, 70_000)
        await asyncio.sleep(0.02)


async def test_all_are_asked_in_turn_and_nothing_is_ordered(tmp_path: Path) -> None:
    """given an account without orders while nothing trades, then what can be measured holds, the rest is not"""
    async with probes_of(tmp_path, paper=True, wait_s=0.3) as (kis, probes):
        found: list[Finding] = await probes.run()
        methods = {request.method for request in kis.requests if not request.path.startswith("/oauth2/")}
    assert {one.probe: one.outcome for one in found} == {
        "token-life": OK,
        "clock": OK,
        "every-field": OK,
        "not-paper": OK,
        "order-rows": NOT_MEASURED,
        "holding-rows": NOT_MEASURED,
        "venue-column": NOT_MEASURED,
        "halt": NOT_MEASURED,
        "trade-fields": NOT_MEASURED,
        "book-fields": NOT_MEASURED,
    }
    assert methods == {"GET"}
    shown = " ".join(f"{one.believed} {one.seen}" for one in found)
    keys = (kis.keys.appkey, kis.keys.appsecret, kis.keys.account)
    for secret in (*keys, *kis.access.tokens, *kis.access.approvals):
        assert secret not in shown


async def test_a_live_account_is_not_asked_for_what_only_a_paper_one_refuses(tmp_path: Path) -> None:
    async with probes_of(tmp_path, paper=False) as (kis, probes):
        outcome, _ = await probes.not_paper()
        assert outcome is NOT_MEASURED
        assert kis.made("chk-holiday") == []


async def test_kis_that_is_away_is_not_measured(tmp_path: Path) -> None:
    """given KIS that answers nothing, then nothing counts as ok, nor as different"""
    async with probes_of(tmp_path, paper=True, wait_s=0.3) as (kis, probes):
        kis.down()
        found = await probes.run()
    assert {one.outcome for one in found} == {NOT_MEASURED}


def test_the_page_of_beliefs_names_every_probe() -> None:
    page = (Path(__file__).parents[3] / "docs/concepts/kis-beliefs.md").read_text()
    names = [
        "token-life", "clock", "every-field", "not-paper", "order-rows", "holding-rows", "venue-column", "halt",
        "trade-fields", "book-fields",
    ]  # fmt: skip
    assert [name for name in names if f"probe `{name}`" not in page] == []
