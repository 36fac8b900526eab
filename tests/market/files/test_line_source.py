"""Lines in bounded memory: plain, gzipped, cut off, damaged, without end."""

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import DataError
from qts.market.files import line_source as line_source_module
from qts.market.files.line_source import MAX_LINE, LineSource, OverlongLine, shown
from qts.notes import in_english


def rows_of(source: LineSource, offset: int = 0, first: int = 1) -> list[bytes]:
    return [row for block in source.blocks(offset, first) for row in block.rows]


def source_of(path: Path, content: bytes, *, gzipped: bool = False) -> LineSource:
    path.write_bytes(content)
    return LineSource(path, gzipped=gzipped)


def test_lines_come_without_their_ends_and_the_last_needs_none(tmp_path: Path) -> None:
    assert rows_of(source_of(tmp_path / "f", b"a\nbb\n\nc")) == [b"a", b"bb", b"", b"c"]
    assert rows_of(source_of(tmp_path / "f", b"a\n")) == [b"a"]


def test_blocks_know_their_offset_and_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_source_module, "CHUNK", 8)
    content = b"aaa\nbbb\nccccc\ndd\n"
    blocks = list(source_of(tmp_path / "f", content).blocks(0, 1))
    assert len(blocks) > 1
    for block in blocks:
        assert content[block.offset :].startswith(block.rows[0] + b"\n")
        assert content[: block.offset].count(b"\n") == block.first - 1


@pytest.mark.parametrize("gzipped", [False, True])
def test_reading_on_from_any_block_gives_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gzipped: bool
) -> None:
    monkeypatch.setattr(line_source_module, "CHUNK", 64)
    content = b"".join(b"line %d\n" % number for number in range(100))
    source = source_of(tmp_path / "f", gzip.compress(content) if gzipped else content, gzipped=gzipped)
    whole = rows_of(source)
    for block in list(source.blocks(0, 1)):
        assert rows_of(source, block.offset, block.first) == whole[block.first - 1 :]


def test_several_gzip_members_and_padding_are_one_text(tmp_path: Path) -> None:
    content = gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n") + b"\0" * 512
    source = source_of(tmp_path / "f", content, gzipped=True)
    assert rows_of(source) == [b"a", b"bc", b"d"]
    assert source.damage is None


def test_a_gzip_file_cut_off_gives_every_complete_line_and_says_so(tmp_path: Path) -> None:
    text = b"".join(b"%d %d\n" % (number, number**7) for number in range(5_000))
    packed = gzip.compress(text)
    source = source_of(tmp_path / "f", packed[: len(packed) // 2], gzipped=True)
    rows = rows_of(source)
    assert source.damage is not None
    assert source.damage.reason == "truncated_gzip"
    assert 1_000 < len(rows) < 5_000
    assert rows == text.split(b"\n")[: len(rows)]


def test_a_cut_in_the_checksum_alone_loses_no_complete_line(tmp_path: Path) -> None:
    source = source_of(tmp_path / "f", gzip.compress(b"a\nb\n")[:-4], gzipped=True)
    assert rows_of(source) == [b"a", b"b"]
    assert source.damage is not None


def test_damage_in_the_middle_keeps_the_lines_before_it(tmp_path: Path) -> None:
    text = b"".join(b"%d %d\n" % (number, number**7) for number in range(5_000))
    packed = bytearray(gzip.compress(text))
    middle = len(packed) // 2
    packed[middle : middle + 40] = b"\xff" * 40
    source = source_of(tmp_path / "f", bytes(packed), gzipped=True)
    rows = rows_of(source)
    assert source.damage is not None
    assert source.damage.reason == "damaged_gzip"
    assert text.startswith(b"\n".join(rows[:1_000]) + b"\n")


def test_a_wrong_checksum_is_damage_but_the_lines_are_given(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"a\nb\n"))
    packed[-5] ^= 1
    source = source_of(tmp_path / "f", bytes(packed), gzipped=True)
    assert rows_of(source) == [b"a", b"b"]
    assert source.damage is not None
    assert source.damage.reason == "damaged_gzip"


def test_a_flipped_bit_that_unpacks_to_another_value_is_told_as_values_that_may_be_wrong(tmp_path: Path) -> None:
    """Given stored (not compressed) data, one bit turns a price of 70000 into 70010 and only the checksum knows."""
    packed = bytearray(gzip.compress(b"70000\n70100\n", compresslevel=0))
    packed[packed.index(b"70000") + 3] ^= 1
    source = source_of(tmp_path / "f", bytes(packed), gzipped=True)
    assert rows_of(source) == [b"70010", b"70100"]
    assert source.damage is not None
    assert source.damage.reason == "damaged_gzip"
    assert "values before this place may be wrong" in in_english(source.damage.note)


def test_rubbish_behind_a_member_is_damage(tmp_path: Path) -> None:
    source = source_of(tmp_path / "f", gzip.compress(b"a\n") + b"rubbish", gzipped=True)
    assert rows_of(source) == [b"a"]
    assert source.damage is not None
    assert source.damage.reason == "damaged_gzip"


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_line_without_end_never_fills_the_memory(tmp_path: Path, gzipped: bool) -> None:
    content = b"a\n" + b"x" * (5 * MAX_LINE) + b"\nb\nc\n"
    source = source_of(tmp_path / "f", gzip.compress(content) if gzipped else content, gzipped=gzipped)
    rows = rows_of(source)
    assert [len(row) < 1_000 for row in rows] == [True] * 4
    assert isinstance(rows[1], OverlongLine)
    assert rows[2:] == [b"b", b"c"]
    assert shown(rows[1]) == b"x" * 200
    assert shown(rows[2]) == b"b"


@pytest.mark.parametrize(("length", "is_overlong"), [(MAX_LINE, False), (MAX_LINE + 1, True)])
def test_the_limit_of_a_line_is_the_same_from_whatever_block_it_is_read(
    tmp_path: Path, length: int, is_overlong: bool
) -> None:
    for before in (b"", b"a" * 70_000 + b"\n"):
        source = source_of(tmp_path / "f", before + b"x" * length + b"\nend")
        rows = rows_of(source)
        assert isinstance(rows[-2], OverlongLine) is is_overlong
        assert rows[-1] == b"end"


def test_blocks_after_an_overlong_line_still_know_their_offset(tmp_path: Path) -> None:
    content = b"a\n" + b"x" * (2 * MAX_LINE) + b"\n" + b"b\n" * 100_000 + b"y" * (MAX_LINE + 5)
    source = source_of(tmp_path / "f", content)
    for block in list(source.blocks(0, 1)):
        assert content[: block.offset].count(b"\n") == block.first - 1
        assert block.offset == 0 or content[block.offset - 1 : block.offset] == b"\n"
    assert isinstance(rows_of(source)[-1], OverlongLine)


def test_progress_is_the_share_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_source_module, "CHUNK", 50)
    source = source_of(tmp_path / "f", b"123456789\n" * 20)
    assert source.share_read() == 0
    assert [source.share_read() for _ in source.blocks(0, 1)] == [0.25, 0.5, 0.75, 1.0]


def test_a_file_the_system_cannot_read_is_a_data_error(tmp_path: Path) -> None:
    source = source_of(tmp_path / "f", b"a\n")
    (tmp_path / "f").unlink()
    with pytest.raises(DataError, match="cannot read on"):
        rows_of(source)


@settings(max_examples=60, deadline=None)
@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"bcd\n", b"x" * 40, b"\r\n"]), max_size=60).map(b"".join),
    chunk=st.integers(1, 50),
    level=st.sampled_from([0, 6]),
)
def test_packed_or_not_in_whatever_pieces_the_lines_are_those_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, chunk: int, level: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "f"
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    packed = packer.compress(content) + packer.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_source_module, "CHUNK", chunk)
        assert rows_of(source_of(path, content)) == expected
        assert rows_of(source_of(path, packed, gzipped=True)) == expected


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_byte_order_mark_belongs_to_no_line(tmp_path: Path, gzipped: bool) -> None:
    content = b"\xef\xbb\xbfa\nb\n"
    source = source_of(tmp_path / "f", gzip.compress(content) if gzipped else content, gzipped=gzipped)
    (block,) = source.blocks(0, 1)
    assert (block.offset, block.rows) == (3, [b"a", b"b"])
    assert rows_of(source, block.offset, block.first) == [b"a", b"b"], "a resumed session begins behind it"
