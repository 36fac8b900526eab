"""The way to an account: two sets of keys, two switches for real money, and nothing secret in any text."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path

import msgspec
import pytest

from qts.broker.kis.config import LIVE_REST, PAPER_REST, KisConfig
from qts.broker.kis.credentials import KisAccess, Secret, access_of
from qts.config.loader import load_config
from qts.errors import BrokerUnavailable, InputError
from tests.broker.kis.wire import ACCOUNT, APP_KEY, APP_SECRET, HTS_ID, MIDDLE, TOKEN, Answer, Wire, refused

PAPER = {
    "QTS_KIS_PAPER_APP_KEY": APP_KEY,
    "QTS_KIS_PAPER_APP_SECRET": APP_SECRET,
    "QTS_KIS_PAPER_ACCOUNT": ACCOUNT,
    "QTS_KIS_PAPER_HTS_ID": HTS_ID,
}
LIVE = {name.replace("PAPER", "LIVE"): text for name, text in PAPER.items()}
CANARIES = (APP_KEY, APP_SECRET, ACCOUNT, MIDDLE, HTS_ID, TOKEN)


def shows_none(text: str) -> bool:
    return not [one for one in CANARIES if one in text]


# -- two switches


def test_a_paper_account_has_paper_hosts_and_keys() -> None:
    access = access_of(KisConfig(), PAPER, live=False)
    assert (access.name, access.is_live, access.rest) == ("kis-paper", False, PAPER_REST)
    assert access.app_key.reveal() == APP_KEY
    assert access.number.reveal() == ("12345678", "01")


def test_a_live_account_needs_the_setting_and_the_one_who_asks() -> None:
    access = access_of(KisConfig(account="live"), LIVE, live=True)
    assert (access.name, access.is_live, access.rest) == ("kis-live", True, LIVE_REST)
    with pytest.raises(InputError, match=r"broker\.kis\.account is paper; to trade real money set it to live"):
        access_of(KisConfig(account="paper"), LIVE, live=True)


def test_a_paper_account_may_be_asked_for_where_a_live_one_is_allowed() -> None:
    assert access_of(KisConfig(account="live"), {**PAPER, **LIVE}, live=False).rest == PAPER_REST


@pytest.mark.parametrize(("live", "given"), [(True, PAPER), (False, LIVE)])
def test_the_keys_of_one_account_never_stand_for_those_of_the_other(live: bool, given: dict[str, str]) -> None:
    with pytest.raises(
        InputError, match=r"(LIVE|PAPER)_APP_KEY, .* are missing; set them, or name a file"
    ) as wrong:
        access_of(KisConfig(account="live"), given, live=live)
    assert shows_none(str(wrong.value))


# -- where they come from


def test_a_private_file_stands_in_the_place_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of KIS\napp_key = {APP_KEY}\napp_secret={APP_SECRET}\naccount = '{ACCOUNT}'\n")
    file.chmod(0o600)
    access = access_of(KisConfig(), {"QTS_KIS_PAPER_FILE": str(file)}, live=False)
    assert access.app_secret.reveal() == APP_SECRET
    assert not access.hts_id


@pytest.mark.parametrize(
    ("mode", "text", "why"),
    [
        (0o644, f"app_key={APP_KEY}", "others than its owner may use"),
        (0o600, f"app_key={APP_KEY}\n{APP_SECRET}", "line 2 is none of app_key, app_secret, account, hts_id"),
        (0o600, f"app_key={APP_KEY}\napp_key={APP_KEY}", "line 2 is none of"),
        (0o600, f"app_key={APP_KEY}", "APP_SECRET, QTS_KIS_PAPER_ACCOUNT are missing"),
    ],
)
def test_a_file_that_is_none_is_named_and_not_shown(tmp_path: Path, mode: int, text: str, why: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(InputError, match=why) as wrong:
        access_of(KisConfig(), {"QTS_KIS_PAPER_FILE": str(file)}, live=False)
    assert shows_none(str(wrong.value))


def test_keys_come_from_one_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both set; give the file alone, or none"):
        access_of(KisConfig(), {**PAPER, "QTS_KIS_PAPER_FILE": str(tmp_path)}, live=False)


@pytest.mark.parametrize("account", ["98765", "98765432", "98765432-1", "98765432/01", "abcdefgh-01"])
def test_an_account_number_that_is_none_is_not_shown(account: str) -> None:
    with pytest.raises(InputError, match="is no account number; allowed are eight digits, a dash") as wrong:
        access_of(KisConfig(), {**PAPER, "QTS_KIS_PAPER_ACCOUNT": account}, live=False)
    assert account not in str(wrong.value)


def test_a_key_with_a_line_break_would_change_the_headers_and_is_refused() -> None:
    with pytest.raises(InputError, match="APP_KEY has a character that no key has"):
        access_of(KisConfig(), {**PAPER, "QTS_KIS_PAPER_APP_KEY": "ab\ncd"}, live=False)


# -- settings


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("kis.live_rest=http://example.com", "has to be https"),
        ("kis.paper_rest=ftp://127.0.0.1", "has to be https"),
        ("kis.paper_rest=https://user@example.com", "has to be https"),
        ("kis.live_websocket=ws://example.com:21000", "has to be wss"),
        ("kis.exchange=NXT", "a paper account takes orders for KRX alone"),
        (f"kis.paper_rest={LIVE_REST}", "a paper account is not at the address of live accounts"),
    ],
)
def test_a_setting_that_would_send_keys_to_others_is_refused(tmp_path: Path, setting: str, why: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(InputError, match=why):
        load_config(tmp_path, {f"broker.{name}": value}, {})


def test_a_double_on_this_machine_and_a_proxy_with_encryption_are_allowed(tmp_path: Path) -> None:
    given = {
        "account": "live",
        "live_rest": "https://proxy.example:1",
        "live_websocket": "wss://proxy.example",
        "paper_rest": "http://127.0.0.1:1",
        "paper_websocket": "ws://localhost:2",
    }
    tree = load_config(tmp_path, {f"broker.kis.{name}": text for name, text in given.items()}, {}).tree
    assert tree.broker.kis.live_websocket == "wss://proxy.example"


# -- nothing shows them


@pytest.fixture
def access() -> KisAccess:
    return access_of(KisConfig(), PAPER, live=False)


def test_no_text_of_the_access_shows_a_secret(access: KisAccess) -> None:
    texts = [repr(access), str(access), f"{access}", f"{access.app_key:>40}", f"{access} {[access]!r}"]
    assert [text for text in texts if not shows_none(text)] == []
    assert "12****78-01" in repr(access)


def test_a_secret_cannot_be_serialised(access: KisAccess) -> None:
    for one in (access.app_secret, access.number):
        with pytest.raises(TypeError):
            pickle.dumps(one)
        with pytest.raises(TypeError):
            copy.deepcopy(one)
        with pytest.raises(TypeError):
            json.dumps({"a": one})
        with pytest.raises(TypeError):
            msgspec.json.encode({"a": one})
    assert shows_none(json.dumps({"a": access}, default=str))
    assert shows_none(msgspec.json.encode(access, enc_hook=str).decode())


def test_secrets_are_compared_and_told_apart_without_being_shown(access: KisAccess) -> None:
    assert access.app_key == Secret(APP_KEY)
    assert access.app_key != access.app_secret
    assert access.app_key.fingerprint not in APP_KEY
    assert len({access.app_key, Secret(APP_KEY)}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(closes=True),
        Answer(b"", 500),
        refused("EGW00103", "유효하지 않은 AppKey입니다."),
        Answer({"rt_cd": "0"}, 302, headers={"Location": "http://127.0.0.1:1/"}),
        Answer({"rt_cd": "0"}, headers={"Content-Encoding": "gzip"}),
    ],
    ids=["cut", "empty", "refused", "redirect", "no gzip"],
)
async def test_no_error_and_no_line_of_the_log_shows_a_secret(
    tmp_path: Path, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with Wire() as wire:
        wire.answers.clear()
        wire.answers.append(answer)
        broker = wire.parts(tmp_path, tell=said.append).broker()
        with pytest.raises(BrokerUnavailable) as wrong:
            await broker.positions()
        await broker.close()
        chain = [wrong.value, wrong.value.__cause__]
        told = [repr(one) + str(getattr(one, "args", "")) for one in chain] + said + [caplog.text]
        assert [text for text in told if not shows_none(text)] == []
        assert wrong.value.__cause__ is None
        assert wrong.value.__context__ is None or wrong.value.__suppress_context__


async def test_no_address_and_no_file_but_the_tokens_own_has_one(tmp_path: Path) -> None:
    async with Wire() as wire:
        broker = wire.parts(tmp_path).broker()
        with pytest.raises(BrokerUnavailable):
            await broker.positions()
        await broker.close()
        # The number of the account is a field of each query, over an encrypted connection, and of no path.
        assert [came.path for came in wire.came if not shows_none(came.path)] == []
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} == {".json", ".lock"}
        for path in files:
            kept = path.read_text()
            assert [one for one in CANARIES if one != TOKEN and one in kept + path.name] == []
