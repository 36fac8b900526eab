"""Run one server, and end it and remove its directory when the process that asked for it is gone.

Started by :mod:`tests.servers.process` as a script of its own, without the packages of the project. It holds the
reading end of a pipe whose only writer is the process with the tests: however that one ends, also by SIGKILL, the
pipe ends with it. Its one argument is a JSON object, see :class:`tests.servers.process.Server`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1


def _die_with_the_parent(number: int) -> None:
    """Ask Linux to end the server when this process is killed itself; elsewhere there is no such thing."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    user: dict[str, Any] = {}
    if order["user"] is not None:
        user = {"user": order["user"], "group": order["group"], "extra_groups": []}
    with open(order["log"], "ab") as log:
        return subprocess.Popen(
            order["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=order["env"],
            cwd="/",
            start_new_session=True,
            preexec_fn=lambda: _die_with_the_parent(order["at_death"]),  # this process has one thread
            **user,
        )


def run(order: dict[str, Any]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)  # so that the end of the server ends the wait below
    child = start(order)
    print(child.pid, flush=True)
    while child.poll() is None:
        readable, _, _ = select.select([0, ended], [], [])
        if ended in readable:
            os.read(ended, 64)
        elif not os.read(0, 64):  # the process with the tests is gone
            child.send_signal(order["at_death"])
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for directory in order["remove"]:
                _remove(directory)
            return 1
    return child.returncode & 0xFF


def _remove(directory: str) -> None:
    for _ in range(50):  # what the server started may still be writing
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.exists(directory):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
