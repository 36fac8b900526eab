"""What the answer file of a flattening says when its session was killed, and another one goes on with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qts.runtime.control.command_files import write_command
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Answer, FlattenReport, Stop
from qts.runtime.control.operators import Operators
from qts.runtime.persistence.session_log import SessionLog
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig
from tests.runtime.rig import kst
from tests.runtime.test_flatten_at_a_broker import ASKED, quote, session, with_ten_and_a_bid


async def looks(directory: Path, rig: LiveRig, log: SessionLog) -> Operators:
    """Let a new process find its commands."""
    operators = Operators(rig.kernel, CommandHandler(rig.kernel), lambda: "hash", log, directory)
    await operators.run_commands()
    return operators


def told(path: Path) -> FlattenReport:
    report = msgspec.json.decode(path.read_bytes(), type=Answer).flatten
    assert report is not None
    return report


def sold_and_left(path: Path) -> tuple[str, str, str, bool]:
    report = told(path)
    (one,) = report.holdings
    return one.sold, one.left, one.held, report.complete


async def killed_behind_five_of_ten(directory: Path, broker: ScriptedBroker) -> tuple[Path, str]:
    """Let a session be killed that has told of four of ten, and sold a fifth.

    Return the path of the answer, and the id of the sale.
    """
    log = SessionLog(directory, "INFO")
    async with session(directory, broker) as (rig, scripted):
        await with_ten_and_a_bid(rig, scripted, broker)
        path = write_command(directory, ASKED)
        operators = await looks(directory, rig, log)
        await rig.show(quote(3))
        (sale,) = [one.request for one in broker.placed if one.request.side is Side.SELL]
        broker.fill(sale.client_order_id, 4, 1_000, kst(10, 0, 3.5))
        await rig.drain()
        await operators.run_commands()
        broker.fill(sale.client_order_id, 1, 1_000, kst(10, 0, 3.6))
        await rig.drain()
        assert sold_and_left(path) == ("4", "6", "6", False)
        log.close()
    return path, sale.client_order_id


async def test_it_goes_on_in_the_next_session(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    path, sale = await killed_behind_five_of_ten(tmp_path, broker)
    # Given one more share sold while no session runs, and a next one
    broker.fill(sale, 1, 1_000, kst(10, 0, 10))
    log = SessionLog(tmp_path, "INFO")
    async with session(tmp_path, broker) as (rig, _):
        operators = await looks(tmp_path, rig, log)
        await rig.show(quote(20))
        await operators.run_commands()
        assert sold_and_left(path) == ("6", "4", "4", False)
        # When the rest is sold, then the answer says so
        broker.fill(sale, 4, 1_000, kst(10, 0, 21))
        await rig.show(quote(40), quote(60))
        await operators.run_commands()
        assert sold_and_left(path) == ("10", "0", "0", True)
        log.close()


async def test_what_was_all_sold_meanwhile_is_told(tmp_path: Path) -> None:
    # Given a session that sold the rest, and bought five more, in its last moment
    broker = ScriptedBroker()
    path, sale = await killed_behind_five_of_ten(tmp_path, broker)
    async with session(tmp_path, broker) as (rig, _):
        broker.fill(sale, 5, 1_000, kst(10, 0, 21))
        broker.fill(broker.placed[1].request.client_order_id, 5, 800, kst(10, 0, 22))
        await rig.show(quote(40), quote(60))
        assert len(rig.kernel.shared.protective) == 0
    # When the next one looks
    log = SessionLog(tmp_path, "INFO")
    async with session(tmp_path, broker) as (rig, _):
        operators = await looks(tmp_path, rig, log)
        await operators.run_commands()
        assert sold_and_left(path) == ("10", "0", "5", True)
        log.close()


async def test_what_a_stop_has_ended_is_told(tmp_path: Path) -> None:
    # Given a stop that keeps what is held, in a session that did not live to tell
    broker = ScriptedBroker()
    path, sale = await killed_behind_five_of_ten(tmp_path, broker)
    async with session(tmp_path, broker) as (rig, _):
        await CommandHandler(rig.kernel).execute(Stop(operator="kim", reason="drill", liquidate=False))
        await rig.show(quote(40))
        assert sale in broker.cancels
    log = SessionLog(tmp_path, "INFO")
    async with session(tmp_path, broker) as (rig, _):
        operators = await looks(tmp_path, rig, log)
        await operators.run_commands()
        assert sold_and_left(path) == ("5", "5", "5", True)
        assert told(path).holdings[0].why == "a stop that keeps what is held has ended it"
        log.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"done": true, "answer": "", "flatten": 1}'])
async def test_a_file_that_is_no_answer_is_left_alone(tmp_path: Path, content: bytes) -> None:
    broker = ScriptedBroker()
    path = tmp_path / "operator" / "flatten-x.answered"
    path.parent.mkdir()
    path.write_bytes(content)
    log = SessionLog(tmp_path, "INFO")
    async with session(tmp_path, broker) as (rig, _):
        await looks(tmp_path, rig, log)
        assert path.read_bytes() == content
        log.close()


async def test_quantities_that_are_none_are_left_alone(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    path, _ = await killed_behind_five_of_ten(tmp_path, broker)
    content = path.read_bytes().replace(b'"asked":"10"', b'"asked":"ten"')
    path.write_bytes(content)
    log = SessionLog(tmp_path, "INFO")
    async with session(tmp_path, broker) as (rig, _):
        await looks(tmp_path, rig, log)
        assert path.read_bytes() == content
        log.close()
