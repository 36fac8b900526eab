"""Two sessions on one account: the second is refused by name, and a killed one keeps no one out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qts.broker.account_lock import AccountLock
from qts.errors import BrokerUnavailable

HOLDER = """
import sys
from pathlib import Path
from qts.broker.account_lock import AccountLock
lock = AccountLock(Path(sys.argv[1]), "an account")
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_second_session_of_an_account_is_refused_and_told_which_process_has_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "account.session"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "taken\n"

            with pytest.raises(
                BrokerUnavailable, match=rf"another session trades kis-paper 50\*\*\*\*01 \(pid {other.pid}\)"
            ):
                AccountLock(path, "kis-paper 50****01").take()
        finally:
            other.kill()

    after = AccountLock(path, "kis-paper 50****01")  # the kernel has released it with the process
    after.take()
    after.release()


def test_it_is_held_until_it_is_released(tmp_path: Path) -> None:
    first, second = (AccountLock(tmp_path / "lock", "an account") for _ in range(2))
    first.take()
    first.take()
    with pytest.raises(BrokerUnavailable, match="another session"):
        second.take()

    first.release()
    first.release()

    second.take()
    second.release()


def test_where_it_cannot_be_known_nothing_is_traded(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()

    with pytest.raises(BrokerUnavailable, match="cannot be known whether another session trades an account"):
        AccountLock(tmp_path / "a file" / "lock", "an account").take()
