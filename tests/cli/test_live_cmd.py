"""``qts run`` on KIS: what has to be given for it, and what is refused before anything is written or connected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command_line import run_qts

KEYS = {"APP_KEY": "K" * 36, "APP_SECRET": "S" * 180, "ACCOUNT": "12345678-01", "HTS_ID": "someone"}
LIVE = ("run", "--mode", "live", "--broker", "kis", "--strategy", "strategy.py:Idle")
REAL = ("--set", "broker.kis.account=live")
WORDS = "I trade real money"
SAID = ("--set", f"broker.kis.confirmation={WORDS}")


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "strategy.py").write_text(
        "from qts.kit import Strategy\n\n\nclass Idle(Strategy):\n    symbols = ('005930',)\n\n"
        "    def on_quote(self, ctx, quote):\n        return ()\n"
    )
    for kind in ("LIVE", "PAPER"):
        for name, text in KEYS.items():
            monkeypatch.setenv(f"QTS_KIS_{kind}_{name}", text)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("run", "--mode", "live"), "give --broker kis"),
        ((*LIVE, "--feed", "synthetic"), "the prices are those of --broker kis"),
        (("run", "--broker", "kis"), "are for --mode live"),
        (("run", "--paper-account"), "are for --mode live"),
        (("run", "--confirm", WORDS), "are for --mode live"),
        (("run", "--feed", "kis", "--speed", "60"), "KIS sends in real time"),
        (("run", "--feed", "kis", "--record"), "--record stores values on a server: name it by --db URL"),
        (("run", "--feed", "kis", "--history", "bars.csv"), "warms strategies up with the bars that KIS has"),
        (("run", "--mode", "live", "--broker", "kis", "--paper-account"), "needs a strategy"),
        (LIVE, "broker.kis.account is paper"),
        ((*LIVE, *REAL), "broker.kis.confirmation"),
        ((*LIVE, *REAL, "--confirm", WORDS), "broker.kis.confirmation"),
        ((*LIVE, *REAL, "--set", f"broker.kis.confirmation={WORDS}"), "--confirm"),
        ((*LIVE, *REAL, "--set", f"broker.kis.confirmation={WORDS}", "--confirm", "yes"), "--confirm"),
        ((*LIVE, *REAL, "--set", f"broker.kis.confirmation={WORDS}", "--confirm", WORDS), "in the file"),
        (
            (*LIVE, "--set", f"broker.kis={{account: live, confirmation: {WORDS}}}", "--confirm", WORDS),
            "in the file",
        ),
    ],
)
def test_it_is_refused_in_one_line(
    argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run_qts(capsys, *argv)

    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "qts-data").exists()


@pytest.mark.parametrize(
    ("written", "argv", "said"),
    [
        ({"account": "live", "confirmation": WORDS}, (), "give --confirm"),
        ({"account": "live", "confirmation": WORDS}, ("--resume", "--data-dir", "run"), "give --confirm"),
        ({"account": "live", "confirmation": "sure"}, ("--confirm", "sure"), "broker.kis.confirmation"),
        ({"account": "live"}, ("--confirm", WORDS), "broker.kis.confirmation"),
        ({"account": "live"}, (*SAID, "--confirm", WORDS), "in the file"),
        ({"confirmation": WORDS}, (*REAL, "--confirm", WORDS), "in the file"),
        ({"confirmation": WORDS}, ("--confirm", WORDS), "broker.kis.account is paper"),
        ({"account": "live", "confirmation": WORDS}, ("--confirm", WORDS, "--plain"), "--plain trades without"),
    ],
)
def test_real_money_needs_the_file_and_the_command_line(
    written: dict[str, str],
    argv: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """given one of both without the other, or by a way round the file, then it is refused, however it is started"""
    lines = "".join(f"  {name}: {text}\n" for name, text in written.items())
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "broker.yaml").write_text(f"kis:\n{lines}")
    monkeypatch.setenv("QTS_CONFIG", str(tmp_path / "settings"))  # names a directory of files, and is no way round

    code, out, err = run_qts(capsys, *LIVE, *argv)

    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "qts-data").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("argv", [("run", "--feed", "kis"), (*LIVE, "--paper-account")])
def test_missing_keys_are_named(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QTS_KIS_PAPER_APP_KEY")

    code, _, err = run_qts(capsys, *argv)

    assert code == 2
    assert "QTS_KIS_PAPER_APP_KEY" in err
    assert KEYS["APP_SECRET"] not in err
    assert not (tmp_path / "qts-data").exists()
