"""The double on a thread and in a process of its own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.kis import KisThread, Settings
from tests.doubles.kis.__main__ import settings_of
from tests.doubles.kis.access import Keys
from tests.doubles.kis.process import KisProcess


def post(url: str, body: dict[str, str], headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Send a call without a loop."""
    sent = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), sent)
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def token(url: str, keys: Keys) -> str:
    body = {"grant_type": "client_credentials", "appkey": keys.appkey, "appsecret": keys.appsecret}
    return str(post(f"{url}/oauth2/tokenP", body)["access_token"])


def order(url: str, keys: Keys, bearer: str) -> str:
    headers = {
        "authorization": f"Bearer {bearer}", "appkey": keys.appkey, "appsecret": keys.appsecret,
        "tr_id": "TTTC0012U", "custtype": "P",
    }  # fmt: skip
    body = {
        "CANO": keys.account, "ACNT_PRDT_CD": keys.product, "PDNO": "005930", "ORD_DVSN": "00", "ORD_QTY": "10",
        "ORD_UNPR": "69000", "EXCG_ID_DVSN_CD": "KRX",
    }  # fmt: skip
    answer = post(f"{url}/uapi/domestic-stock/v1/trading/order-cash", body, headers)
    return str(answer["output"]["ODNO"])


def test_a_double_on_a_thread_serves_a_caller_that_has_no_loop() -> None:
    with KisThread(seed=3, settings=Settings(matching="told")) as kis:
        keys = kis.do(lambda one: one.keys)
        number = order(kis.rest_url, keys, token(kis.rest_url, keys))
        kis.do(lambda one: one.fill(number, 4))
        assert kis.do(lambda one: one.books.order(number).filled) == 4
        assert kis.ws_url.startswith("ws://127.0.0.1:")


def test_a_double_in_a_process_is_scripted_from_another(tmp_path: Path) -> None:
    with KisProcess(tmp_path, "--set", 'matching="told"', seed=5) as kis:
        bearer = token(kis.rest_url, kis.keys)
        number = order(kis.rest_url, kis.keys, bearer)
        # When another process scripts it
        kis.do("fill", number, 3, 69_000)
        kis.do("fault", "server_error", on="order-cash")
        kis.do("setting", "live_rows", 2)
        # Then it has done so
        assert kis.look("account.holdings.005930.qty") == 3
        assert kis.look("settings.live_rows") == 2
        with pytest.raises(urllib.error.HTTPError, match="500"):
            order(kis.rest_url, kis.keys, bearer)
        kis.do("clock.jump", 86_400)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            order(kis.rest_url, kis.keys, bearer)
        assert kis.look("requests")[-1]["code"] == "EGW00123"


def test_a_setting_that_is_unknown_is_refused() -> None:
    assert settings_of(["trade_width=46"]).trade_width == 46
    with pytest.raises(SystemExit, match="no setting 'nothing'"):
        settings_of(["nothing=1"])
