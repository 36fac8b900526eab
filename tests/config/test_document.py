"""The form of a file: what is read at all, and how a refusal names its line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from qts.config.document import (
    MAX_BYTES,
    MAX_DEPTH,
    Listing,
    Place,
    Scalar,
    Section,
    did_you_mean,
    parse_document,
    parse_value,
    read_document,
    shown,
)


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse_document(text, "a.yaml").problems]


def written(directory: Path, text: str = "a: 1\n") -> Path:
    path = directory / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_value_knows_its_line_and_its_text() -> None:
    root = parse_document("# head\na: 007\nb:\n  c: 'x y'\n  d: [1, two]\n", "a.yaml").root

    assert root is not None
    a, b = root.entries
    assert a.value == Scalar("007", False, Place("a.yaml", 2))
    assert isinstance(b.value, Section)
    c, d = b.value.entries
    assert c.value == Scalar("x y", True, Place("a.yaml", 4))
    assert isinstance(d.value, Listing)
    assert [item.text for item in d.value.items if isinstance(item, Scalar)] == ["1", "two"]
    assert d.value.place == Place("a.yaml", 5)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n", "null\n", "---\n"])
def test_a_file_without_values_is_valid_and_empty(text: str) -> None:
    document = parse_document(text, "a.yaml")

    assert document.root is None
    assert document.problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "a.yaml:2: the key 'a' is given twice, first on line 1"),
        ("b:\n  a: 1\n  c: 2\n  'a': 3\n", "a.yaml:4: the key 'a' is given twice, first on line 2"),
        ("a:\n\tb: 1\n", "a.yaml:2: a tab; use spaces"),
        ("a: 1 \t# note\n", "a.yaml:1: a tab; use spaces"),
        ("a: &x 1\nb: 2\n", "a.yaml:1: an anchor (&x); write the value where it is used"),
        ("a: 1\nb: *x\n", "a.yaml:2: an alias (*x); write the value itself"),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "a.yaml:1: a tag ('tag:yaml.org,2002:python/object/apply:os.system'); "
            "tags are not read here, write the plain value",
        ),
        (
            "a: !!float 1\n",
            "a.yaml:1: a tag ('tag:yaml.org,2002:float'); tags are not read here, write the plain value",
        ),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: a second YAML document ('---'); keep one document per file"),
        ("- a\n- b\n", "a.yaml:1: must hold 'key: value' lines, not a single value or a list"),
        ("hello\n", "a.yaml:1: must hold 'key: value' lines, not a single value or a list"),
        ("[a, b]: 1\n", "a.yaml:1: a list or mapping as key; keys are plain words"),
        ("a: 1\nb: x\x00y\n", "a.yaml:2: a control character; remove it"),
        ("a: 1\nb: \x1b[31m\n", "a.yaml:2: a control character; remove it"),
        ("a: [1, 2\nb: 3\n", "a.yaml:2: not readable as YAML: expected ',' or ']', but got ':'"),
        ("a: 1\n b: 2\n", "a.yaml:2: not readable as YAML: mapping values are not allowed here"),
        ("a: 'open\n", "a.yaml:2: not readable as YAML: found unexpected end of stream"),
        ("a: 1\nb: \ufffe\n", "a.yaml:2: holds a character or a number YAML does not have; remove it"),
        ('a: 1\nb: "\\U99999999"\n', "a.yaml:2: holds a character or a number YAML does not have; remove it"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_an_anchor_bomb_is_refused_without_being_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    found = problems("\n".join(lines) + "\n")

    assert found[0] == "a.yaml:1: an anchor (&a0); write the value where it is used"
    assert len(found) == 30 + 29 * 9


def test_nesting_ends_at_the_limit() -> None:
    allowed = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    deeper = "[" * MAX_DEPTH + "]" * MAX_DEPTH

    assert problems(f"a: {allowed}\n") == []
    assert problems(f"a: {deeper}\n") == [f"a.yaml:1: nested deeper than {MAX_DEPTH} levels"]
    assert problems("a: " + "[" * 5_000 + "\n") == [f"a.yaml:1: nested deeper than {MAX_DEPTH} levels"]


def test_all_problems_of_form_are_reported_together() -> None:
    assert len(problems("a: 1\na: 2\nb: &x 1\nc: *x\nd: !t 1\n")) == 4


@pytest.mark.parametrize(("text", "complete"), [("a: 1\n", True), ("a: 1", False), ("", True)])
def test_a_text_without_a_last_newline_may_be_half_written(text: str, complete: bool) -> None:
    assert parse_document(text, "a.yaml").complete is complete


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")

    root = read_document(path).root
    assert root is not None
    assert root.entries[0].key.text == "a"


def test_windows_line_ends_are_read() -> None:
    root = parse_document("a: 1\r\nb: 2\r\n", "a.yaml").root

    assert root is not None
    assert [entry.value for entry in root.entries] == [
        Scalar("1", False, Place("a.yaml", 1)),
        Scalar("2", False, Place("a.yaml", 2)),
    ]


def test_a_file_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1\nb: 삼성\n".encode("cp949"))

    assert [str(p) for p in read_document(path).problems] == [f"{path}:2: not UTF-8 text; save the file as UTF-8"]


def test_a_file_at_the_size_limit_is_read_and_one_byte_more_refused(tmp_path: Path) -> None:
    fits = written(tmp_path, "a: 1\n" + "#" * (MAX_BYTES - 6) + "\n")
    assert fits.stat().st_size == MAX_BYTES
    assert read_document(fits).problems == ()

    too_large = written(tmp_path, "a: 1\n" + "#" * (MAX_BYTES - 5) + "\n")
    assert [p.message for p in read_document(too_large).problems] == [
        "is larger than 262144 bytes, the limit of a configuration file"
    ]


def test_a_file_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.chmod(0o666)
    assert [str(p) for p in read_document(path).problems] == [
        f"{path}: may be written by everybody; take that right away: chmod o-w"
    ]

    path.chmod(0o664)
    assert read_document(path).problems == ()


def test_a_directory_everybody_may_write_to_is_refused_unless_sticky(tmp_path: Path) -> None:
    path = written(tmp_path)
    tmp_path.chmod(0o777)
    assert [p.message for p in read_document(path).problems] == [
        "lies in a directory that everybody may write to; chmod o-w the directory"
    ]

    tmp_path.chmod(0o777 | stat.S_ISVTX)
    assert read_document(path).problems == ()
    tmp_path.chmod(0o700)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    link = tmp_path / "b.yaml"
    link.symlink_to(tmp_path / "a.yaml")

    assert [str(p) for p in read_document(link).problems] == [
        f"{link}: is a symbolic link; put the file itself there"
    ]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_directory_is_refused_without_waiting(tmp_path: Path, make: object) -> None:
    path = tmp_path / "a.yaml"
    make(path)  # type: ignore[operator]

    assert [p.message for p in read_document(path).problems] in (
        ["is not a regular file"],
        ["cannot be read: Is a directory"],
    )


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path)
    monkeypatch.setattr(os, "open", denied)

    assert [str(p) for p in read_document(path).problems] == [f"{path}: cannot be read: Permission denied"]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    real = os.fstat
    calls = []

    def growing(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:
            path.write_text("a: 1\nb: 2\n", encoding="utf-8")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", growing)

    assert [p.message for p in read_document(path).problems] == [
        "changed while it was read; try again when it is saved"
    ]


def test_a_value_from_outside_is_a_scalar_or_a_list_on_one_line() -> None:
    place = Place("--set")
    assert parse_value("0.5", place) == (Scalar("0.5", False, place), ())
    assert isinstance(parse_value("[1, 2]", place)[0], Listing)
    for text in ("", "  ", "a\nb", "[1", "&x 1", "!!int 1", '"\\U99999999"', "\ufffe"):
        _node, found = parse_value(text, place)
        assert found, text
        assert str(found[0]).startswith("--set: ")


def test_a_quoted_value_in_a_message_is_cut_and_escaped() -> None:
    assert shown("abc") == "'abc'"
    assert shown("a" * 61) == "'" + "a" * 60 + "…'"
    assert shown("a\x1b[31m\u202eb") == "'a\\x1b[31m\\u202eb'"


def test_did_you_mean_names_the_closest_word_only_when_it_is_close() -> None:
    assert did_you_mean("max_los_pct", ["max_loss_pct", "share"]) == " (did you mean max_loss_pct?)"
    assert did_you_mean("zzz", ["max_loss_pct", "share"]) == ""
