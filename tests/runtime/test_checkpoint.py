"""The checkpoint: taken and given back part by part, parts that seldom change encoded once."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError, StorageError
from qts.runtime.persistence.checkpoint import VERSION, Checkpoints, Share, decode


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value
        self.taken = 0

    def export_state(self) -> Any:
        self.taken += 1
        return self.value

    def import_state(self, saved: Any) -> None:
        self.value = saved


def made_of(**components: Any) -> Checkpoints:
    """Checkpoints of these components, in this order."""
    checkpoints = Checkpoints()
    for name, component in components.items():
        checkpoints.register(name, component)
    return checkpoints


def test_what_is_taken_is_given_back() -> None:
    first, second = Box({"a": [1, "two", None]}), Box(D("1.50"))
    checkpoints = made_of(first=first, second=second)
    data = checkpoints.encode()
    first.value = second.value = None

    checkpoints.restore(data)

    assert first.value == {"a": [1, "two", None]}
    assert second.value == "1.50", "Decimals travel as text"
    assert checkpoints.share(data, "first") == {"a": [1, "two", None]}


def test_a_text_that_no_file_can_hold_is_shown() -> None:
    odd = Box({"note": "half \ud83d"})
    with pytest.raises(StorageError, match=r"cannot hold the text 'half \\ud83d'"):
        made_of(strategies=odd).encode()


def test_parts_are_given_back_in_their_order() -> None:
    given: list[str] = []
    checkpoints = Checkpoints()
    for name in ("c", "a", "b"):
        checkpoints.register(name, Share(lambda: 1, lambda saved, name=name: given.append(name)))

    checkpoints.restore(checkpoints.encode())

    assert given == ["c", "a", "b"]


def test_a_part_with_an_unchanged_mark_is_not_taken_again() -> None:
    box, mark = Box("old"), [0]
    checkpoints = Checkpoints()
    checkpoints.register("box", box, changed=lambda: mark[0])
    checkpoints.encode()
    box.value = "new"

    assert decode(checkpoints.encode())["parts"] == {"box": "old"}
    mark[0] = 1
    assert decode(checkpoints.encode())["parts"] == {"box": "new"}
    assert box.taken == 2


def test_a_name_is_registered_once() -> None:
    checkpoints = made_of(box=Box(1))

    with pytest.raises(ContractError, match="two components would be 'box' in a checkpoint"):
        checkpoints.register("box", Box(2))


def test_a_checkpoint_of_another_version_says_who_can_finish_the_run() -> None:
    checkpoints = made_of(box=Box(1))
    other = msgspec.msgpack.encode({"version": VERSION + 1, "parts": {"box": 1}})

    with pytest.raises(StorageError, match=rf"version {VERSION + 1}, this program writes {VERSION}"):
        checkpoints.restore(other)


@pytest.mark.parametrize("parts", [{}, {"box": 1, "more": 2}, {"bag": 1}])
def test_missing_and_foreign_parts_are_refused(parts: dict[str, int]) -> None:
    checkpoints = made_of(box=Box(1))

    with pytest.raises(StorageError, match="another version of QTS"):
        checkpoints.restore(made_of(**{name: Box(1) for name in parts}).encode())


def test_a_damaged_checkpoint_is_said_to_be_one() -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        decode(b"\xc1\xff")


def test_a_checkpoint_with_one_wrong_bit_anywhere_is_refused_by_a_sentence() -> None:
    box = Box({"cash": D("100000.50"), "names": ["005930", "삼성"], "n": 7, "deep": [[[]]]})
    checkpoints = made_of(box=box)
    data = checkpoints.encode()
    decode(data)

    for place in range(len(data)):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[place] ^= 1 << bit
            with pytest.raises(StorageError, match=r"^the checkpoint (cannot be read|has version)"):
                decode(bytes(wrong))


def test_a_checkpoint_that_was_cut_anywhere_is_refused_by_a_sentence() -> None:
    data = made_of(box=Box({"cash": "1"})).encode()

    for length in range(len(data)):
        with pytest.raises(StorageError, match=r"^the checkpoint (cannot be read|has version)"):
            decode(data[:length])
