"""Records and files of the journal: exact bytes, what is cut off, what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import ContractError, StateError, StorageError
from qts.event.journal_recovery import check_journal, read_journal, recover
from qts.event.journal_segments import (
    JournalWalk,
    Mark,
    Run,
    as_runs,
    check_size,
    encode_marks,
    pack_record,
    record_at,
    records_in,
    run_bytes,
    segment_path,
)

RUN_ID = "0123456789abcdef"
RUN = RUN_ID.encode()


def event(sequence: int, body: bytes = b"body") -> bytes:
    return pack_record(sequence, RUN, b"id-%d" % sequence, body)


def marks(sequence: int, *runs: Run) -> bytes:
    return pack_record(sequence, RUN, b"", encode_marks(list(runs)))


def written(directory: Path, *records: bytes, first: int = 1) -> Path:
    path = segment_path(directory, first)
    path.write_bytes(b"".join(records))
    return path


def found(directory: Path) -> list[int]:
    return [record.sequence for _, record in JournalWalk(directory, RUN_ID) if record.key]


def test_a_record_is_length_crc_sequence_run_key_length_key_body_little_endian() -> None:
    # Worked by hand: 8 + 16 + 2 bytes of fields, key "k-1" (3), body "xy" (2) = 31 = 0x1f.
    rest = b"\x05" + bytes(7) + b"0123456789abcdef" + b"\x03\x00" + b"k-1" + b"xy"
    crc = struct.pack("<I", zlib.crc32(rest))
    assert pack_record(5, RUN, b"k-1", b"xy") == b"\x1f\x00\x00\x00" + crc + rest


@given(
    sequence=st.integers(1, 2**64 - 1),
    key=st.binary(min_size=1, max_size=300),
    body=st.binary(max_size=2_000),
    before=st.binary(max_size=50),
)
@settings(max_examples=100)
def test_a_record_is_read_back_as_it_was_written(sequence: int, key: bytes, body: bytes, before: bytes) -> None:
    record = record_at(before + pack_record(sequence, RUN, key, body) + b"rest", len(before))
    assert record is not None
    assert (record.sequence, record.run, record.key, record.body) == (sequence, RUN, key, body)


@given(st.binary(max_size=300), st.integers(0, 300))
@settings(max_examples=100)
def test_of_any_bytes_only_whole_records_are_read(data: bytes, offset: int) -> None:
    for one in records_in(data, offset):
        assert data[one.offset : one.end] == pack_record(one.sequence, one.run, one.key, one.body)


@given(bodies=st.lists(st.binary(max_size=40), max_size=6), cut=st.floats(0, 1))
@settings(max_examples=100)
def test_any_prefix_of_a_valid_file_gives_a_prefix_of_its_events(bodies: list[bytes], cut: float) -> None:
    records = [event(number, body) for number, body in enumerate(bodies, 1)]
    data = b"".join(records)
    prefix = data[: round(cut * len(data))]
    whole = 0
    while whole < len(records) and len(b"".join(records[: whole + 1])) <= len(prefix):
        whole += 1
    assert [record.body for record in records_in(prefix)] == bodies[:whole]


@pytest.mark.parametrize("size", [0, 65_536])
def test_a_key_that_fits_no_record_is_refused(size: int) -> None:
    with pytest.raises(ContractError, match="1 to 65535 bytes"):
        check_size(b"k" * size, b"")


def test_the_longest_key_is_taken() -> None:
    check_size(b"k" * 65_535, b"")


@pytest.mark.parametrize("run_id", ["", "short", "0123456789abcdef0", "0123456789abcdé"])
def test_a_run_id_is_sixteen_ascii_characters(run_id: str) -> None:
    with pytest.raises(ContractError, match="16 ASCII"):
        run_bytes(run_id)


def test_marks_of_successive_events_are_written_as_one() -> None:
    given_ = [(Mark.APPLIED, 1), (Mark.APPLIED, 2), (Mark.PARKED, 3), (Mark.APPLIED, 4), (Mark.APPLIED, 6)]
    assert as_runs(given_) == [
        Run(Mark.APPLIED, 1, 2),
        Run(Mark.PARKED, 3, 1),
        Run(Mark.APPLIED, 4, 1),
        Run(Mark.APPLIED, 6, 1),
    ]


# -- a torn end ------------------------------------------------------------------------------------------------


def test_the_last_three_records_cut_at_every_byte_leave_the_whole_ones_before(tmp_path: Path) -> None:
    records = [event(number, b"body %d" % number) for number in range(1, 6)]
    data = b"".join(records)
    ends = [len(b"".join(records[:count])) for count in range(6)]
    for size in range(ends[2], len(data)):
        path = written(tmp_path, data[:size])
        whole = sum(end <= size for end in ends[1:])
        walk = JournalWalk(tmp_path, RUN_ID)
        assert [record.sequence for _, record in walk] == list(range(1, whole + 1))
        if size == ends[whole]:
            assert walk.torn is None
        else:
            assert walk.torn == (path, ends[whole], size - ends[whole])


def test_every_flipped_bit_of_the_last_record_cuts_it_off(tmp_path: Path) -> None:
    records = [event(number) for number in range(1, 4)]
    start, data = len(b"".join(records[:2])), b"".join(records)
    for bit in range(8 * start, 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        written(tmp_path, bytes(changed))
        walk = JournalWalk(tmp_path, RUN_ID)
        assert [record.sequence for _, record in walk] == [1, 2]
        assert walk.torn is not None
        assert walk.torn.offset == start


def test_every_flipped_bit_of_a_record_that_others_follow_is_refused_with_its_offset(tmp_path: Path) -> None:
    records = [event(number) for number in range(1, 5)]
    sizes = list(map(len, records))
    data = b"".join(records)
    for bit in range(8 * sizes[0], 8 * sum(sizes[:3])):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        written(tmp_path, bytes(changed))
        offset = sizes[0] if bit < 8 * sum(sizes[:2]) else sum(sizes[:2])
        with pytest.raises(StorageError, match=rf"journal, offset {offset}: .*damaged in the middle"):
            found(tmp_path)


def test_a_damaged_first_record_is_found_out_even_when_the_run_is_not_known(tmp_path: Path) -> None:
    written(tmp_path, bytes(len(event(1))), event(2))
    with pytest.raises(StorageError, match=rf"offset 0: .*a valid record follows at offset {len(event(1))}"):
        recover(tmp_path)


def test_a_file_that_another_follows_may_not_be_torn(tmp_path: Path) -> None:
    path = written(tmp_path, event(1), event(2)[:-1])
    written(tmp_path, first=2)
    with pytest.raises(StorageError, match="another file follows") as refused:
        found(tmp_path)
    assert f"{path}, offset {len(event(1))}" in str(refused.value)


def test_zeros_after_the_last_record_are_a_torn_end(tmp_path: Path) -> None:
    written(tmp_path, event(1), bytes(4_096))
    walk = JournalWalk(tmp_path, RUN_ID)
    assert [record.sequence for _, record in walk] == [1]
    assert walk.torn is not None
    assert walk.torn.size == 4_096


# -- what is refused -------------------------------------------------------------------------------------------


def test_another_runs_journal_is_refused_and_named(tmp_path: Path) -> None:
    written(tmp_path, pack_record(1, b"fedcba9876543210", b"k", b""))
    with pytest.raises(
        StateError, match=r"offset 0: the journal belongs to run fedcba9876543210, this is run 0123"
    ):
        found(tmp_path)


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    written(tmp_path, event(1), event(3))
    with pytest.raises(StorageError, match=rf"offset {len(event(1))}: record 3 stands where 2 belongs"):
        found(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path, event(1))
    written(tmp_path, event(3), first=3)
    with pytest.raises(StorageError, match="begins with event 3, but event 2 comes next"):
        found(tmp_path)


def test_files_that_are_no_segments_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, event(1))
    (tmp_path / "p0-temporary.journal").write_bytes(b"half a segment")
    (tmp_path / "dead-letters.jsonl").write_bytes(b"{}")
    assert found(tmp_path) == [1]


def test_marks_of_events_that_were_never_written_are_refused(tmp_path: Path) -> None:
    written(tmp_path, event(1), marks(1, Run(Mark.APPLIED, 1, 2)))
    with pytest.raises(StorageError, match="marks events 1 to 2, but only 1 were written before"):
        recover(tmp_path, RUN_ID)


def test_marks_that_are_no_marks_are_refused(tmp_path: Path) -> None:
    written(tmp_path, event(1), pack_record(1, RUN, b"", b"\xc1"))
    with pytest.raises(StorageError, match="the marks cannot be read"):
        recover(tmp_path, RUN_ID)


# -- what is left to do ----------------------------------------------------------------------------------------


def test_what_is_not_marked_is_left_to_do_in_order(tmp_path: Path) -> None:
    written(tmp_path, *map(event, (1, 2, 3)), marks(3, Run(Mark.APPLIED, 2, 1)), event(4))
    left = recover(tmp_path, RUN_ID)
    assert [one.sequence for one in left.unfinished] == [1, 3, 4]
    assert [one.event_id for one in left.unfinished] == ["id-1", "id-3", "id-4"]
    assert left.next_sequence == 5
    assert left.last_numbers == {"id": 4}


def test_an_operator_may_open_a_settled_event_again(tmp_path: Path) -> None:
    reopened = marks(2, Run(Mark.PARKED, 1, 1), Run(Mark.APPLIED, 2, 1), Run(Mark.REOPENED, 1, 1))
    written(tmp_path, event(1), event(2), reopened)
    (left,) = recover(tmp_path, RUN_ID).unfinished
    assert (left.sequence, left.reopened, left.place.offset) == (1, True, 0)
    assert check_journal(tmp_path) == []


def test_marks_of_events_whose_file_is_gone_say_nothing(tmp_path: Path) -> None:
    written(tmp_path, marks(6, Run(Mark.APPLIED, 3, 4)), event(7), first=7)
    assert [one.sequence for one in recover(tmp_path, RUN_ID).unfinished] == [7]
    assert check_journal(tmp_path) == []


# -- journal-without-gap ---------------------------------------------------------------------------------------


def test_the_check_counts_what_became_of_every_event(tmp_path: Path) -> None:
    runs = [Run(Mark.APPLIED, 1, 2), Run(Mark.PARKED, 3, 1), Run(Mark.WITHDRAWN, 4, 1)]
    written(tmp_path, *map(event, range(1, 6)), marks(5, *runs))
    report = read_journal(tmp_path)
    assert report.run_id == RUN_ID
    assert [entry.status_name for entry in report.entries.values()] == [
        "applied", "applied", "parked", "withdrawn", "accepted",
    ]  # fmt: skip
    assert report.count(Mark.APPLIED) == 2
    assert report.count(None) == 1
    assert report.applied_order == [1, 2, 3, 4]
    assert report.problems == []


def test_the_check_finds_an_event_settled_twice(tmp_path: Path) -> None:
    written(tmp_path, event(1), marks(1, Run(Mark.APPLIED, 1, 1), Run(Mark.PARKED, 1, 1)))
    assert check_journal(tmp_path) == ["event 1 (id-1) was finished twice"]


def test_the_check_finds_an_id_accepted_twice(tmp_path: Path) -> None:
    written(tmp_path, event(1), pack_record(2, RUN, b"id-1", b""))
    assert check_journal(tmp_path) == ["event id id-1 names two events: 1 and 2"]


def test_the_check_reports_damage_instead_of_raising(tmp_path: Path) -> None:
    written(tmp_path, event(2))
    (problem,) = check_journal(tmp_path)
    assert "record 2 stands where 1 belongs" in problem
