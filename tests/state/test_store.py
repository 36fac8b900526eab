"""The file store: atomic, synced, tolerant of a torn tail, intolerant of damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from qts.errors import StorageError
from qts.state.store import FileStateStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "state.json"


def filled(path: Path, records: int = 3) -> FileStateStore:
    store = FileStateStore(path)
    for number in range(1, records + 1):
        store.save({"n": number}, {"seq": number})
    return store


def history_of(path: Path) -> Path:
    return path.with_name("state.history.jsonl")


def test_nothing_saved_is_none(path: Path) -> None:
    assert FileStateStore(path).load() is None


def test_the_newest_snapshot_comes_back_with_its_history(path: Path) -> None:
    store = filled(path)
    store.save({"n": 4})
    assert FileStateStore(path).load() == {"n": 4, "history": [{"seq": 1}, {"seq": 2}, {"seq": 3}]}
    again = FileStateStore(path)
    again.save({"n": 5}, {"seq": 4})  # without a load before
    loaded = FileStateStore(path).load()
    assert loaded is not None
    assert loaded["n"] == 5
    assert len(loaded["history"]) == 4


def test_only_the_newest_records_are_given_back_and_the_file_keeps_all(path: Path) -> None:
    filled(path, 10)
    loaded = FileStateStore(path, history_limit=3).load()
    assert loaded is not None
    assert [record["seq"] for record in loaded["history"]] == [8, 9, 10]
    assert len(history_of(path).read_bytes().splitlines()) == 10


def test_the_history_is_lines_of_json_that_other_programs_can_read(path: Path) -> None:
    filled(path)
    lines = [json.loads(line) for line in history_of(path).read_text().splitlines()]
    assert [line["body"]["record"]["seq"] for line in lines] == [1, 2, 3]


def test_a_crash_while_appending_loses_only_what_was_not_answered(path: Path) -> None:
    """The fourth line is cut at every byte, and the snapshot that counts it was never written."""
    store = filled(path)
    snapshot, answered = path.read_bytes(), history_of(path).read_bytes()
    store.save({"n": 4}, {"seq": 4})
    whole = history_of(path).read_bytes()
    for end in range(len(answered), len(whole)):
        path.write_bytes(snapshot)
        history_of(path).write_bytes(whole[:end])
        again = FileStateStore(path)
        assert again.load() == {"n": 3, "history": [{"seq": 1}, {"seq": 2}, {"seq": 3}]}
        again.save({"n": 5}, {"seq": 4})
        assert FileStateStore(path).load() == {"n": 5, "history": [{"seq": number} for number in (1, 2, 3, 4)]}


def test_a_crash_between_history_and_snapshot_loses_nothing(path: Path) -> None:
    store = filled(path)
    before = path.read_bytes()
    store.save({"n": 4}, {"seq": 4})
    path.write_bytes(before)
    loaded = FileStateStore(path).load()
    assert loaded is not None
    assert loaded["n"] == 4
    assert loaded["history"][-1] == {"seq": 4}


def test_a_crash_in_the_very_first_save_loses_nothing_either(path: Path) -> None:
    filled(path, 1)
    path.unlink()
    assert FileStateStore(path).load() == {"n": 1, "history": [{"seq": 1}]}


def test_a_left_over_temporary_file_is_ignored(path: Path) -> None:
    filled(path)
    path.with_name("state.json.tmp").write_bytes(b"half a snap")
    loaded = FileStateStore(path).load()
    assert loaded is not None
    assert loaded["n"] == 3


@pytest.mark.parametrize("line", [1, 2, 3])
def test_damage_in_an_answered_line_is_refused_with_its_place(path: Path, line: int) -> None:
    filled(path)
    lines = history_of(path).read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"seq":', b'"sEq":')
    history_of(path).write_bytes(b"".join(lines))
    with pytest.raises(StorageError, match=f"damaged in line {line} "):
        FileStateStore(path).load()


def test_damage_before_a_good_line_is_never_taken_for_a_torn_tail(path: Path) -> None:
    filled(path)
    path.unlink()  # nothing counts as answered any more
    lines = history_of(path).read_bytes().splitlines(keepends=True)
    history_of(path).write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(StorageError, match="damaged in line 2"):
        FileStateStore(path).load()


def test_a_missing_history_is_refused(path: Path) -> None:
    filled(path)
    history_of(path).unlink()
    with pytest.raises(StorageError, match=r"holds 0 records, state\.json counts 3"):
        FileStateStore(path).load()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\x00\xff", b'{"crc":1,"body":{}}', b'{"crc":2745614147,"body":{"a":1}}', b'"text"'],
)
def test_a_damaged_or_foreign_snapshot_is_refused(path: Path, content: bytes) -> None:
    filled(path)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is damaged"):
        FileStateStore(path).load()


def test_every_flipped_byte_of_the_snapshot_is_noticed_or_harmless(path: Path) -> None:
    filled(path)
    good, content = FileStateStore(path).load(), path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :])
        try:
            found = FileStateStore(path).load()
        except StorageError:
            continue
        assert found == good, at


def test_another_format_is_refused(path: Path) -> None:
    path.parent.mkdir()
    body = b'{"format":"qts-state/9","version":1,"records":0,"snapshot":{},"record":null}'
    path.write_bytes(b'{"crc":%d,"body":%s}\n' % (zlib.crc32(body), body))
    with pytest.raises(StorageError, match=r"is damaged \(checksum or format\)"):
        FileStateStore(path).load()
    assert body in path.read_bytes(), "it is left as it was"


def test_what_cannot_be_read_or_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    store = FileStateStore(tmp_path / "file" / "state.json")
    with pytest.raises(StorageError, match="cannot read"):
        store.load()
    (tmp_path / "dir.json").mkdir()
    with pytest.raises(StorageError, match=r"dir\.json"):
        FileStateStore(tmp_path / "dir.json").save({"n": 1})


def test_after_a_failed_write_it_looks_again_before_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line got to disk, the snapshot did not; the next save neither loses nor doubles it."""
    store = filled(path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="cannot store"):
            store.save({"n": 4}, {"seq": 4})
    store.save({"n": 5}, {"seq": 5})
    assert FileStateStore(path).load() == {"n": 5, "history": [{"seq": number} for number in range(1, 6)]}


_WRITER = """
import sys
from qts.state.store import FileStateStore
store = FileStateStore(sys.argv[1])
number = 0
while True:
    number += 1
    store.save({"n": number}, {"seq": number})
    print(number, flush=True)
"""


def test_kill_minus_nine_at_any_moment_loses_nothing_that_was_answered(path: Path) -> None:
    for lines in (1, 7, 23):
        target = path.with_name(f"kill{lines}.json")
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(target)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            answered = [int(writer.stdout.readline()) for _ in range(lines)]
            writer.kill()
            answered += [int(line) for line in writer.stdout.read().splitlines()]
        loaded = FileStateStore(target).load()
        assert loaded is not None
        assert loaded["n"] in (answered[-1], answered[-1] + 1)
        assert [record["seq"] for record in loaded["history"]] == list(range(1, loaded["n"] + 1))[-1000:]
