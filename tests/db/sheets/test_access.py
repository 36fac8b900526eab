"""The URL of a spreadsheet and the key that signs in: what is allowed, and that nothing shows the key."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from qts.access import is_safe
from qts.db.servers import opener_of
from qts.db.sheets.access import CREDENTIALS, access_of
from qts.db.sheets_config import SheetsConfig
from qts.errors import InputError, MissingExtraError, QtsError
from tests.db.sheets.rig import Rig, error_of

SECRET = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
INFO = {
    "type": "service_account",
    "client_email": "writer@project.iam.gserviceaccount.com",
    "private_key": SECRET,
    "token_uri": "https://oauth2.googleapis.com/token",
}


def key_file(path: Path, content: object, mode: int = 0o600) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    path.chmod(mode)
    return path


def refusal(url: str, environ: dict[str, str]) -> str:
    with pytest.raises(InputError) as raised:
        access_of(url, environ)
    assert "c2VjcmV0" not in str(raised.value)
    return str(raised.value)


def test_a_url_names_the_id_alone(tmp_path: Path) -> None:
    environ = {CREDENTIALS: str(key_file(tmp_path / "key.json", INFO))}
    access = access_of("sheets://1AbC_d-9", environ)
    assert (access.spreadsheet_id, access.account) == ("1AbC_d-9", INFO["client_email"])
    for url in (
        "sheets://",
        "sheets://a b",
        "sheets://a/b",
        "sheets://user:c2VjcmV0@id",
        "sheets://id?key=c2VjcmV0",
        "sheets://docs.google.com/spreadsheets/d/1AbC/edit",
    ):
        assert "between /d/ and /edit" in refusal(url, environ)


def test_the_key_is_that_of_a_service_account_and_its_owner_s_alone(tmp_path: Path) -> None:
    url, path = "sheets://1AbC", tmp_path / "key.json"
    assert f"{CREDENTIALS} is not set" in refusal(url, {})
    environ = {CREDENTIALS: str(path)}
    assert "cannot be read" in refusal(url, environ)
    for content, mode, words in (
        (INFO, 0o640, "chmod 600"),
        ("", 0o600, "is empty"),
        ("c2VjcmV0", 0o600, "is no JSON"),
        ("[1]", 0o600, "is no JSON"),
        ({**INFO, "type": "authorized_user"}, 0o600, "another kind of account"),
        ({**INFO, "private_key": ""}, 0o600, "lacks private_key"),
        ({**INFO, "token_uri": 7, "client_email": None}, 0o600, "lacks client_email, token_uri"),
        ({**INFO, "token_uri": "http://example.com/token"}, 0o600, "token_uri is not https"),
        ({**INFO, "client_email": "a\x1b[2Jb"}, 0o600, "client_email is no address"),
        ("x" * 70_000, 0o600, "longer than 65536 bytes"),
    ):
        text = refusal(url, {CREDENTIALS: str(key_file(path, content, mode))})
        assert words in text
        assert str(path) in text
    assert "Is a directory" in refusal(url, {CREDENTIALS: str(tmp_path)})


async def test_a_damaged_key_is_refused_without_showing_it(rig: Rig) -> None:
    rig.sheets.write_credentials(rig.key, private_key=SECRET)
    error = await error_of(rig.adapter().open())
    assert isinstance(error, InputError)
    assert "private_key is none" in str(error)
    assert "c2VjcmV0" not in repr(error) + repr(error.__cause__)


async def test_nothing_shows_the_key_or_a_token(
    rig: Rig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a log of everything, and calls that work, that are refused and that are cut off
    caplog.set_level(logging.DEBUG)
    access = access_of(rig.sheets.url, rig.environ)
    texts = [repr(access), str(access)]
    async with rig.writer() as writer:
        rig.trade()
        await writer.send()
        rig.sheets.cut = lambda call: "before"
        texts.append(str(await error_of(writer.load())))
        rig.sheets.cut = lambda call: ""
        rig.sheets.is_revoked = True
        rig.sheets.forget_tokens()
        rig.later(60)
        texts.append(str(await error_of(writer.load())))
        rig.later(60)
    said = "\n".join([*texts, caplog.text, *capfd.readouterr()])
    # Then the key and the tokens are in none of it
    key = str(access.info["private_key"]).splitlines()[1]
    for secret in (key, "token-1", "Bearer"):
        assert secret not in said


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://sheets.googleapis.com/v4/spreadsheets", True),
        ("http://127.0.0.1:8080/v4/spreadsheets", True),
        ("http://[::1]:8080/v4", True),
        ("http://sheets.googleapis.com/v4/spreadsheets", False),
        ("http://127.0.0.1.example.com/v4", False),
        ("https://user:secret@example.com/v4", False),
        ("https://example.com:port/v4", False),
        ("https://example.com/v4?key=1", False),
        ("ftp://127.0.0.1/", False),
        ("", False),
    ],
)
def test_what_is_sent_to_another_machine_is_encrypted(url: str, safe: bool) -> None:
    assert is_safe(url) is safe
    assert bool(SheetsConfig(base_url=url).problems()) is not safe


def test_without_its_client_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {CREDENTIALS: str(key_file(tmp_path / "key.json", INFO))}
    opener = opener_of("sheets://1AbC", environ, live=False)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(MissingExtraError, match=r"Google Sheets .*\[sheets\]"):
        opener()


def test_the_client_is_imported_only_to_make_the_adapter(tmp_path: Path) -> None:
    import subprocess

    path = key_file(tmp_path / "key.json", INFO)
    program = (
        "import sys; from qts.db.servers import opener_of; "
        f"opener_of('sheets://1AbC', {{'{CREDENTIALS}': {str(path)!r}}}, live=False); "
        "print([name for name in sys.modules if name.split('.')[0] in ('google', 'requests', 'cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_it_can_be_opened_once(rig: Rig) -> None:
    async with rig.opened() as adapter:
        error: Any = await error_of(adapter.open())
        assert isinstance(error, QtsError)
        assert "open already" in str(error)
