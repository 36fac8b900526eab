"""A server in a process of its own that ends with the process of the tests, however that one ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from qts.errors import QtsError

SUPERVISOR = Path(__file__).with_name("supervise.py")
START_S = 60.0


class ServerUnavailable(QtsError):
    """A server that cannot be had on this machine; the text is the reason for which its tests are skipped."""


class ServerFailed(QtsError):
    """A server that did not start; the text ends with the end of its log."""


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server process: started, stopped, killed, and started again over the same directory.

    Methods block. Not for several threads at once. ``with`` starts and stops it.
    """

    stop_signal = signal.SIGTERM
    """What asks the server to stop."""
    death_signal = signal.SIGKILL
    """What ends the server when the process with the tests is gone."""

    def __init__(self, *, log: Path, remove: tuple[Path, ...] = ()) -> None:
        """Write the output of the server to ``log``; ``remove`` are removed if the process with the tests dies."""
        self.log = log
        self.port = free_port()
        self._remove = remove
        self._supervisor: subprocess.Popen[str] | None = None
        self._pid = 0

    # -- what a server says about itself ------------------------------------------------------------------------

    def argv(self) -> list[str]:
        """Return the command line; :attr:`port` is the port to listen on."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the server."""
        return dict(os.environ)

    def user(self) -> tuple[int, int] | None:
        """Return user and group to run as, None for those of this process."""
        return None

    def ready(self) -> bool:
        """Return whether the server takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    # -- what is done with it ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process of the server is there."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises :class:`ServerFailed`, with the end of the log.
        """
        assert not self.running
        user = self.user()
        order = {
            "argv": self.argv(),
            "env": dict(self.environment()),
            "log": str(self.log),
            "user": user and user[0],
            "group": user and user[1],
            "at_death": int(self.death_signal),
            "remove": [str(path) for path in self._remove],
        }
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, which stop their servers
        )
        assert self._supervisor.stdout is not None
        said = self._supervisor.stdout.readline().strip()
        if not said:
            self._forget()
            raise ServerFailed(f"{self.argv()[0]} could not be started")
        self._pid = int(said)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_S
        while not self.ready():
            if not self.running:
                self._forget()
                raise ServerFailed(f"{self.argv()[0]} ended:\n{self.end_of_log()}")
            if time.monotonic() > end:
                self.kill()
                raise ServerFailed(f"{self.argv()[0]} takes no connections:\n{self.end_of_log()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask the server to stop and wait for it; after 20 seconds it is killed. A stopped one is left alone."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server as ``kill -9`` does and wait until it is gone. A stopped one is left alone."""
        self._end(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        os.kill(self._pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._supervisor is None:
            return
        if self.running:
            self.signal(number)
            try:
                self._supervisor.wait(20)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self._supervisor.wait(20)
        self._forget()

    def _forget(self) -> None:
        assert self._supervisor is not None
        self._supervisor.wait(20)
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            assert pipe is not None
            pipe.close()
        self._supervisor = None

    def end_of_log(self) -> str:
        """Return the last 3,000 characters that the server wrote."""
        return self.log.read_text("utf-8", errors="replace")[-3000:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()
