"""Keys and accounts that are wrong, or of the other kind of account: KIS refuses, and one line says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import parts_of
from qts.errors import BrokerUnavailable
from tests.broker.kis.rig import environ_of
from tests.doubles.kis import KisDouble, Settings


async def refusal(kis: KisDouble, cache: Path) -> str:
    """What the user is told when the orders of the customer are asked for."""
    kind = "paper" if kis.is_paper else "live"
    config = KisConfig(account=kind, **{f"{kind}_rest": kis.rest_url, f"{kind}_websocket": kis.ws_url})  # type: ignore[arg-type]
    parts = parts_of(config, environ_of(kis, cache), kis.clock, live=not kis.is_paper, tell=lambda said: None)
    broker = parts.broker()
    try:
        with pytest.raises(BrokerUnavailable) as caught:
            await broker.orders()
    finally:
        await broker.close()
    text = str(caught.value)
    assert "\n" not in text
    for secret in (kis.keys.appkey, kis.keys.appsecret, kis.keys.account):
        assert secret not in text
    return text


@pytest.mark.parametrize("paper", [True, False])
@pytest.mark.parametrize("sign_in", [True, False])
async def test_keys_of_the_other_kind_of_account(tmp_path: Path, paper: bool, sign_in: bool) -> None:
    """given keys of the other host, whether that gives them a token or none, then the line names both kinds"""
    async with KisDouble(seed=1, paper=paper, settings=Settings(other_keys_sign_in=sign_in)) as kis:
        kis.keys = kis.other_keys
        text = await refusal(kis, tmp_path)
    here, other = ("paper", "live") if paper else ("live", "paper")
    assert f"keys of a {other} account" in text
    assert f"QTS_KIS_{here.upper()}_" in text
    assert ("EGW00103" not in text) == sign_in


async def test_a_secret_that_is_wrong(tmp_path: Path) -> None:
    async with KisDouble(seed=1, paper=True) as kis:
        kis.keys = replace(kis.keys, appsecret="x" * 180)
        text = await refusal(kis, tmp_path)
    assert "EGW00105" in text
    assert "check QTS_KIS_PAPER_APP_KEY and QTS_KIS_PAPER_APP_SECRET" in text


async def test_an_account_that_is_not_that_of_the_keys(tmp_path: Path) -> None:
    async with KisDouble(seed=1, paper=True) as kis:
        kis.keys = replace(kis.keys, account="50999999")
        text = await refusal(kis, tmp_path)
    assert "OPSQ2000" in text
    assert "check QTS_KIS_PAPER_ACCOUNT" in text
