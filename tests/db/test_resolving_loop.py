"""A name that the system looks up for long keeps no follower from ending."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from qts.db.resolving_loop import ResolvingLoop


class Answers(Event):
    """The moment from which the system answers, and how often it was asked."""

    asked = 0


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Let every look-up of the system wait for this event."""
    event, ask = Answers(), socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        event.asked += 1
        assert event.wait(60)
        return ask(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield event
    event.set()


def test_the_loop_ends_while_a_name_is_looked_up(answers: Answers) -> None:
    async def given_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        runner.run(given_up())
    assert not answers.is_set()


def test_those_who_ask_for_the_same_share_one_look_up(answers: Answers) -> None:
    async def looked_up() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await loop.getaddrinfo("127.0.0.1", 80)
        # Given a look-up that one has given up, When three more ask, Then they get its answer
        asked = [asyncio.ensure_future(loop.getaddrinfo("127.0.0.1", 80)) for _ in range(3)]
        await asyncio.sleep(0)
        assert answers.asked == 1
        answers.set()
        assert {found[0][4] for found in await asyncio.gather(*asked)} == {("127.0.0.1", 80)}

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        runner.run(looked_up())


def test_a_name_is_found_or_refused_as_the_system_says(answers: Answers) -> None:
    answers.set()

    async def looked_up() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
            assert found[0][4] == ("127.0.0.1", 80)
        for name in ("a" * 70, "nowhere.invalid"):
            with pytest.raises(OSError):
                await loop.getaddrinfo(f"{name}.", 80, flags=socket.AI_NUMERICHOST)

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        runner.run(looked_up())
