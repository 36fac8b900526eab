"""The distribution is called qts-runtime; a package of other authors named qts is noticed and named."""

from pathlib import Path

import pytest

from qts.cli.distribution import Foreign, foreign_distribution, warning_about
from qts.cli.main import main


def installed(site: Path, folder: str, head: str, *, command: str = "", file: str = "METADATA") -> None:
    directory = site / folder
    directory.mkdir(parents=True)
    (directory / file).write_text(
        f"Metadata-Version: 2.1\n{head}\n\nVersion: 9 in the description\n", encoding="utf-8"
    )
    if command:
        (directory / "entry_points.txt").write_text(f"[console_scripts]\nqts = {command}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("qts-0.3.2.dist-info", "METADATA"),
        ("QTS-0.3.2.dist-info", "METADATA"),
        ("qts.egg-info", "PKG-INFO"),
        ("qts-0.3.2-py3.11.egg-info", "PKG-INFO"),
    ],
)
def test_another_package_named_qts_is_found(folder: str, file: str, tmp_path: Path) -> None:
    installed(tmp_path, folder, "Name: qts\nVersion: 0.3.2", command="qts.tool:run", file=file)
    assert foreign_distribution(["/not/there", str(tmp_path)]) == Foreign("0.3.2", tmp_path)


def test_metadata_in_a_single_file_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "qts-0.3.2.egg-info").write_text("Metadata-Version: 1.0\nName: qts\nVersion: 0.3.2\n")
    assert foreign_distribution([str(tmp_path)]) == Foreign("0.3.2", tmp_path)


def test_neither_our_own_package_nor_an_earlier_installation_of_it_is_foreign(tmp_path: Path) -> None:
    installed(tmp_path, "qts_runtime-0.1.0.dist-info", "Name: qts-runtime\nVersion: 0.1.0")
    installed(tmp_path, "qts-runtime-0.1.0.dist-info", "Name: qts-runtime\nVersion: 0.1.0")
    installed(tmp_path, "qts-0.1.0.dist-info", "Name: qts\nVersion: 0.1.0", command="qts.cli.main:main")
    installed(tmp_path, "qts_tools-1.0.dist-info", "Name: qts-tools\nVersion: 1.0")
    assert foreign_distribution([str(tmp_path)]) is None


def test_the_warning_says_which_package_where_and_what_to_do(tmp_path: Path) -> None:
    text = warning_about(Foreign("0.3.2", tmp_path))
    assert f"another package named 'qts' (0.3.2) is installed in {tmp_path}" in text
    assert text.endswith("pip uninstall qts qts-runtime")


def test_a_command_warns_on_standard_error_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(tmp_path, "qts-0.3.2.dist-info", "Name: qts\nVersion: 0.3.2")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["--version"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("qts ")
    assert out.count("\n") == 1
    assert err.count("\n") == 1
    assert str(tmp_path) in err


def test_without_one_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().err == ""
