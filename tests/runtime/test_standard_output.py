"""One thread writes what is printed: no writer waits for a reader, what is lost is counted and reported."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from qts.runtime.drivers.standard_output import BackgroundStream, BackgroundWriter, dropped, redirected_output, say

NOTE = re.compile(r"\n\[qts: ([\d,]+) characters? dropped here: standard error was not read\]\n")


class Pipe:
    """A pipe whose reader reads when the test says so."""

    def __init__(self) -> None:
        self.reader, handle = os.pipe()
        self.stream: TextIO = os.fdopen(handle, "w", encoding="utf-8")

    def read_until(self, end: str) -> str:
        found = ""
        while end not in found:
            found += os.read(self.reader, 1 << 16).decode()
        return found


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)
    pipe.stream.close()


def test_what_finds_no_room_is_dropped_counted_and_told_to_the_reader(pipe: Pipe) -> None:
    # Given a reader who reads nothing: the pipe takes at most a MB, and as much may wait
    writer = BackgroundWriter(pipe.stream, max_waiting=1_000_000)
    aside = BackgroundStream(writer)
    # when 4 MB are printed
    for _ in range(4_000):
        print("x" * 999, file=aside, flush=True)
    aside.buffer.write(b"no room for bytes either\n")
    printed = 4_000_025
    # then no writer has waited, and what was lost is known
    lost = writer.dropped
    assert 1_000_000 < lost < printed
    # and the reader finds the rest, and how much is missing, told in between
    read, told = "", 0
    while len(read) < printed - lost or told < lost:
        read += pipe.read_until("\n")
        told += sum(int(number.replace(",", "")) for number in NOTE.findall(read))
        read = NOTE.sub("", read)
    assert (len(read), told) == (printed - lost, lost)
    writer.drain()
    print("here again", file=aside)
    assert pipe.read_until("again\n") == "here again\n"
    writer.close()


def test_a_reader_who_may_take_his_time_gets_everything(pipe: Pipe) -> None:
    writer = BackgroundWriter(pipe.stream, max_waiting=10)
    asked: list[int] = []

    def wait() -> bool:
        asked.append(0)
        return len(asked) < 4

    aside = BackgroundStream(writer, wait)
    aside.write("x" * 2_000_000)  # more than a pipe takes, and more than may wait: alone it may
    assert asked == []
    aside.write("lost\n")

    assert len(asked) == 4
    assert writer.dropped == 5
    assert pipe.read_until("standard error was not read]\n").startswith("xxx")
    writer.drain()
    aside.write("found\n")
    assert pipe.read_until("found\n") == "found\n"
    writer.close()


def test_the_end_waits_for_a_reader_who_reads_and_not_twice_for_one_who_does_not(pipe: Pipe) -> None:
    writer = BackgroundWriter(pipe.stream, max_waiting=1 << 22)
    writer.put("x" * (1 << 21))

    writer.drain(patience_s=0.01)
    writer.drain(patience_s=3_600.0)  # would be a long test

    writer.put("the end\n")
    assert pipe.read_until("the end\n").count("x") == 1 << 21
    writer.drain()
    writer.close()


def test_both_streams_go_aside_and_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    error, output = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    monkeypatch.setattr(sys, "stdout", output)

    with redirected_output():
        print("one")
        with redirected_output():
            print("two", file=sys.stderr)
        say("three")

    assert (error.getvalue(), output.getvalue()) == ("one\ntwo\nthree\n", "")
    assert (sys.stderr, sys.stdout) == (error, output)


def test_what_cannot_be_written_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    with redirected_output():
        print("lost")
    assert dropped() == 5

    monkeypatch.setattr(sys, "stderr", None)
    with redirected_output():
        print("to nowhere")
    say("to nowhere")
    assert dropped() == 0


def test_only_text_can_be_printed() -> None:
    aside = BackgroundStream(BackgroundWriter(io.StringIO()))

    with pytest.raises(TypeError, match="must be str, not bytes"):
        aside.write(b"no text")  # type: ignore[arg-type]
    aside.writelines(["a", "b"])
    assert not aside.isatty()
