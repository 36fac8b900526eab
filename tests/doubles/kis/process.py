"""The double in a process of its own, for tests that kill and restart a session, or run it as a command."""

from __future__ import annotations

import json
import random
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.doubles.kis.access import Keys
from tests.servers.process import Server, free_port

ROOT = Path(__file__).parents[3]
CALL_S = 20.0


class KisProcess(Server):
    """A double that outlives the session under test and ends with the process of the tests.

    ``options`` are those of the command line, such as ``("--paper", "--speed", "60")``. Methods block.
    """

    def __init__(self, directory: Path, *options: str, seed: int = 0) -> None:
        super().__init__(log=directory / "kis-double.log")
        self.ws_port = free_port()
        self._options, self._seed = options, seed

    def argv(self) -> list[str]:
        """Return the command line."""
        ports = ["--port", str(self.port), "--ws-port", str(self.ws_port), "--seed", str(self._seed)]
        begin = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runpy; "
        run = "runpy.run_module('tests.doubles.kis', run_name='__main__', alter_sys=True)"
        return [sys.executable, "-c", begin + run, *ports, *self._options]

    @property
    def rest_url(self) -> str:
        """The address of REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of the websocket."""
        return f"ws://127.0.0.1:{self.ws_port}"

    @property
    def keys(self) -> Keys:
        """The keys of the customer, which the seed decides."""
        return Keys.made(random.Random(self._seed), is_paper="--paper" in self._options)

    def do(self, name: str, *values: Any, **by_name: Any) -> Any:
        """Call a method of the double or of one of its rooms, such as ``market.trade``, and return its result."""
        return self._ask({"do": name, "with": list(values), "by_name": by_name})

    def look(self, name: str) -> Any:
        """Return an attribute of the double, such as ``account.holdings``."""
        return self._ask({"do": name})

    def _ask(self, what: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.rest_url}/double", json.dumps(what).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            return json.load(answer)["result"]
