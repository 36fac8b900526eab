"""Ids and randomness: from one seam, the same in every replay."""

from __future__ import annotations

import subprocess
import sys

from qts.ids import CounterIds, random_prefix, run_id_of, seeded


def test_counted_ids_are_ordered_and_can_be_continued() -> None:
    ids = CounterIds("run-o")
    assert [ids.next_id(), ids.next_id(), ids.last] == ["run-o-1", "run-o-2", 2]

    later = CounterIds("run-o")
    later.continue_after(ids.last)
    assert later.next_id() == "run-o-3"
    assert CounterIds("x", last=9).next_id() == "x-10"


def test_a_run_id_depends_on_every_part_and_where_it_ends() -> None:
    assert run_id_of("demo", "7") == run_id_of("demo", "7")
    assert len(run_id_of("demo", "7")) == 16
    different = {
        run_id_of(*parts) for parts in [("demo", "7"), ("demo7",), ("demo", "8"), ("", "demo7"), ("7", "demo")]
    }
    assert len(different) == 5


def test_streams_of_one_seed_are_independent_and_repeatable() -> None:
    first = [seeded(7, "exchange").random() for _ in range(2)]
    assert first[0] == first[1]
    assert seeded(7, "exchange").random() != seeded(7, "dispatcher").random()
    assert seeded(7, "exchange").random() != seeded(8, "exchange").random()


def test_a_stream_is_the_same_in_every_process() -> None:
    code = "from qts.ids import seeded; print(seeded(7, 'exchange').getrandbits(64))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert seen == {f"{seeded(7, 'exchange').getrandbits(64)}\n".encode()}


def test_what_needs_no_replay_does_not_repeat() -> None:
    assert random_prefix() != random_prefix()
    assert len(random_prefix()) == 12
