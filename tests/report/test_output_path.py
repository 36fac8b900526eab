"""Where a file can be written, before there is anything to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.errors import InputError
from qts.report.output_path import require_output_path


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")

    require_output_path("the report", tmp_path / "old.html")
    require_output_path("the report", tmp_path / "new.html")

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old.html", "old")]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (".", "that is a directory; name the file in it"),
        ("nowhere/x.html", "there is no directory .*nowhere; create it first"),
        ("file/x.html", "there is no directory .*file; create it first"),
        ("x" * 300, "File name too long; name a file this user can write"),
    ],
)
def test_a_place_that_cannot_be_written_says_why(place: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match=f"the report cannot go to .*{why}"):
        require_output_path("the report", tmp_path / place)


@pytest.mark.parametrize(("place", "fine"), [("run/x.html", True), ("x.html", True), ("run/deep/x.html", False)])
def test_the_directory_that_the_work_makes_will_be_there(
    place: str, fine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if fine:
        require_output_path("the report", Path("all", place), made=tmp_path / "all" / "run")
    else:
        with pytest.raises(InputError, match="there is no directory"):
            require_output_path("the report", Path("all", place), made=tmp_path / "all" / "run")
