"""The gateway's file tells after a kill what was sent, and never calls an order unsent that may have been."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.gateway import sent_file as module
from qts.broker.gateway.sent_file import Answered, Sent, SentFile
from qts.errors import StateError, StorageError
from qts.execution.contracts import AckStatus, VenueRef
from tests.broker.gateway_rig import RUN, sent_file
from tests.effort import examples

ACCEPTED, REJECTED, UNKNOWN, NOT_SENT = AckStatus
REF = VenueRef(date(2026, 1, 22), "77", "KRX")


def sent(key: str, expires_ns: int = 5) -> Sent:
    return Sent(key, f"a-{key}", expires_ns, 1)


def answered(key: str, status: AckStatus = ACCEPTED) -> Answered:
    return Answered(key, status, REF if status is ACCEPTED else None, "as told", 2)


def written(directory: Path, *entries: Sent | Answered) -> SentFile:
    file = sent_file(directory)
    file.append(*entries)
    file.sync()
    file.close()
    return file


def _write_down(file: SentFile, entry: Sent) -> None:
    file.append(entry)
    file.sync()


def fates(file: SentFile, *keys: str) -> list[AckStatus]:
    return [file.fate_of(key).status for key in keys]


def test_what_is_in_it_was_sent_and_what_is_not_never_left(tmp_path: Path) -> None:
    written(
        tmp_path, sent("asked"), sent("taken"), answered("taken"), sent("refused"), answered("refused", REJECTED)
    )

    file = sent_file(tmp_path)

    assert fates(file, "asked", "taken", "refused", "other") == [UNKNOWN, ACCEPTED, REJECTED, NOT_SENT]
    assert file.fate_of("taken").ref == REF
    assert [one.approval_id for one in file.sent()] == ["a-asked", "a-taken", "a-refused"]
    file.close()


def test_a_file_that_is_missing_proves_nothing(tmp_path: Path) -> None:
    file = sent_file(tmp_path)

    assert fates(file, "o") == [UNKNOWN]
    file.close()


def test_a_file_that_was_put_back_from_a_copy_proves_nothing(tmp_path: Path) -> None:
    written(tmp_path, sent("first"))
    copy = (tmp_path / "sent").read_bytes()
    file = sent_file(tmp_path)
    file.append(sent("second"), sent("third"))
    file.settle(["first"])
    file.compact(50)
    assert file.count == 3
    file.close()

    newest = sent_file(tmp_path)
    newest.require(3)
    assert (newest.count, fates(newest, "second", "other")) == (3, [UNKNOWN, NOT_SENT])
    newest.close()
    (tmp_path / "sent").write_bytes(copy)
    older = sent_file(tmp_path)
    older.require(3)
    assert fates(older, "first", "second") == [UNKNOWN, UNKNOWN]
    older.close()


def test_of_two_answers_the_first_that_says_something_counts(tmp_path: Path) -> None:
    written(tmp_path, sent("o"), answered("o", UNKNOWN), answered("o", REJECTED), answered("o"))

    file = sent_file(tmp_path)

    assert fates(file, "o") == [REJECTED]
    file.close()


def test_another_runs_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path, sent("o"))

    with pytest.raises(StateError, match=f"belongs to run {RUN}, this is run fedcba9876543210"):
        sent_file(tmp_path, "fedcba9876543210")


def test_a_torn_end_is_cut_off_wherever_it_is_and_then_nothing_counts_as_unsent(tmp_path: Path) -> None:
    written(tmp_path, sent("first"), sent("last"))
    whole = (tmp_path / "sent").read_bytes()
    begins = [end for end, _ in module._entries(whole)]

    for cut in range(begins[1] + 1, len(whole)):  # inside the record of the last order
        (tmp_path / "sent").write_bytes(whole[:cut])
        file = sent_file(tmp_path)
        assert fates(file, "first", "last", "other") == [UNKNOWN] * 3, cut
        file.close()
        assert (tmp_path / "sent").read_bytes() == whole[: begins[1]]


def test_no_flipped_bit_makes_an_order_unsent(tmp_path: Path) -> None:
    """Either the file is refused, or it is known not to be whole."""
    written(tmp_path, sent("first"), sent("last"))
    whole = (tmp_path / "sent").read_bytes()

    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / "sent").write_bytes(data)
        try:
            file = sent_file(tmp_path)
        except (StorageError, StateError):
            continue
        assert NOT_SENT not in fates(file, "first", "last"), bit
        file.close()


def test_damage_in_the_middle_is_refused_with_its_place_and_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, sent("first"), sent("last"))
    data = bytearray((tmp_path / "sent").read_bytes())
    begins = [end for end, _ in module._entries(bytes(data))]
    data[begins[0] + 12] ^= 1
    (tmp_path / "sent").write_bytes(data)

    with pytest.raises(StorageError, match=rf"offset {begins[0]}: damaged in the middle .* offset {begins[1]}\)"):
        sent_file(tmp_path)
    assert (tmp_path / "sent").read_bytes() == data


def test_what_the_store_has_is_left_out_once_its_approval_has_expired(tmp_path: Path) -> None:
    file = sent_file(tmp_path)
    file.append(sent("stored"), answered("stored"), sent("young", 99), answered("young"), sent("open"))
    file.settle(["stored", "young", "never seen"])

    file.compact(50)
    file.append(answered("open", REJECTED))
    file.sync()
    file.close()

    file = sent_file(tmp_path)
    assert [one.client_order_id for one in file.sent()] == ["young", "open"]
    assert fates(file, "young", "open") == [ACCEPTED, REJECTED]
    file.close()


def test_it_stays_as_large_as_what_is_open(tmp_path: Path) -> None:
    file, largest, rewritten = sent_file(tmp_path, most_bytes=2_000), 0, 0
    for number in range(500):
        key = f"o-{number}"
        file.append(sent(key))
        file.append(answered(key))
        file.settle([key])
        if file.is_crowded:
            file.compact(100)
            rewritten += 1
        largest = max(largest, file.size)

    assert largest < 3_000
    assert 5 < rewritten < 100
    assert (tmp_path / "sent").stat().st_size == file.size
    file.close()


def test_what_comes_while_it_is_rewritten_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sent_file(tmp_path)
    file.append(sent("before"), sent("stored"))
    file.settle(["stored"])
    beside = module.open_beside

    def meanwhile(path: Path, mode: int) -> tuple[int, Path]:
        file.append(answered("before"), sent("meanwhile"))
        return beside(path, mode)

    monkeypatch.setattr(module, "open_beside", meanwhile)
    file.compact(50)
    file.sync()
    file.close()

    file = sent_file(tmp_path)
    assert fates(file, "before", "meanwhile", "stored") == [ACCEPTED, UNKNOWN, NOT_SENT]
    file.close()


def test_a_file_that_was_being_rewritten_when_the_process_was_killed_is_ignored(tmp_path: Path) -> None:
    written(tmp_path, sent("o"))
    (tmp_path / ".sent.123-1.part").write_bytes(b"half")

    file = sent_file(tmp_path)

    assert fates(file, "o", "other") == [UNKNOWN, NOT_SENT]
    assert [path.name for path in tmp_path.iterdir()] == ["sent"]
    file.close()


@pytest.mark.parametrize("fails", ["write", "fdatasync"])
def test_after_a_failure_of_the_disk_nothing_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    file = sent_file(tmp_path)
    file.append(sent("o"))

    def full(*about: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, fails, full)
        with pytest.raises(StorageError, match="No space left"):
            _write_down(file, sent("p"))
    with pytest.raises(StorageError, match="No space left"):
        file.append(sent("q"))
    with pytest.raises(StorageError, match="No space left"):
        file.sync()
    file.close()


def test_a_short_write_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sent_file(tmp_path)
    file.append(sent("o"))
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(StorageError, match="wrote 7 of"):
            file.append(sent("p"))
    file.close()

    file = sent_file(tmp_path)
    assert fates(file, "o", "p") == [UNKNOWN, NOT_SENT]  # the second was refused before it could leave
    file.close()


KEYS = st.sampled_from(["a", "b", "c", "d"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), KEYS),
        st.tuples(st.just("answer"), KEYS, st.sampled_from([ACCEPTED, REJECTED, UNKNOWN])),
        st.tuples(st.just("settle"), KEYS),
        st.tuples(st.just("rewrite")),
        st.tuples(st.just("open again")),
    ),
    max_size=30,
)


@settings(max_examples=examples(40, whole=2_000), deadline=None)
@given(acts=ACTS)
def test_whatever_happens_it_knows_what_was_sent_and_not_stored(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, ...]]
) -> None:
    directory = tmp_path_factory.mktemp("sent")
    file, known, stored = sent_file(directory), dict[str, AckStatus](), set[str]()
    for act, *about in acts:
        if act == "send" and about[0] not in known:
            file.append(sent(about[0]))
            known[about[0]] = UNKNOWN
        elif act == "answer" and about[0] in known:
            file.append(answered(about[0], AckStatus(about[1])))
            known[about[0]] = AckStatus(about[1]) if known[about[0]] is UNKNOWN else known[about[0]]
        elif act == "settle":
            file.settle(about)
            stored |= set(about) & known.keys()
        elif act == "rewrite":
            file.compact(50)
        elif act == "open again":
            file.close()
            file = sent_file(directory)
            file.settle(stored)
        for key in known.keys() - stored:
            assert file.fate_of(key).status is known[key]
    file.close()
    shutil.rmtree(directory)


def test_a_file_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "no directory").write_text("")
    with pytest.raises(StorageError, match="cannot keep the orders that are sent there: Not a directory"):
        sent_file(tmp_path / "no directory")


def test_a_file_that_does_not_begin_with_its_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(module._packed(sent("o")))
    with pytest.raises(StorageError, match="does not begin with its run"):
        sent_file(tmp_path)


def test_a_record_of_another_kind_is_no_record(tmp_path: Path) -> None:
    """As a later version may write one: the end of the file is cut there, as behind any torn record."""
    written(tmp_path, sent("o"))
    body = b"\x93\xa5later\x01\x02"
    head = module._HEAD.pack(len(body), module.zlib.crc32(body))
    (tmp_path / "sent").write_bytes((tmp_path / "sent").read_bytes() + head + body)

    file = sent_file(tmp_path)

    assert (fates(file, "o", "other"), file.is_whole) == ([UNKNOWN, UNKNOWN], False)
    file.close()


@pytest.mark.parametrize("how", ["fsync", "short"])
def test_a_rewriting_that_fails_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    file = sent_file(tmp_path)
    file.append(sent("o"), answered("o"))
    file.sync()
    before = (tmp_path / "sent").read_bytes()
    file.settle(["o"])

    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        if how == "fsync":
            patched.setattr(os, "fsync", fails)
        else:
            patched.setattr(os, "write", lambda fd, data: 1)
        with pytest.raises(StorageError, match="the disk did not confirm"):
            file.compact(50)

    assert [path.name for path in tmp_path.iterdir()] == ["sent"]
    assert (tmp_path / "sent").read_bytes() == before
    with pytest.raises(StorageError, match="the disk did not confirm"):
        file.compact(50)
    file.close()
    file.close()
