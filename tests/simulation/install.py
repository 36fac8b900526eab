"""Puts the machine of a simulation in the place of the real one, for a whole process: time, threads, loops.

The package reads time in :mod:`qts.clock` alone and starts threads in :mod:`qts.threads` alone; everything else
that it waits with are locks, events and queues of Python's library. All of that is replaced in the modules that
use it, once, and nothing of the package's own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import importlib
import logging
import pkgutil
import queue
import sys
import threading
import time
import warnings
from typing import Any

from tests.simulation import sqlite_files, system_calls
from tests.simulation.machine import machine
from tests.simulation.primitives import (
    QUEUE,
    THREADING,
    Event,
    Lock,
    Policy,
    RLock,
    SimpleQueue,
    ThreadPoolExecutor,
)

NS = 1_000_000_000


class _Time:
    """The module ``time`` as :mod:`qts.clock` sees it, in the machine's time."""

    @staticmethod
    def monotonic_ns() -> int:
        return machine().now_ns

    perf_counter_ns = process_time_ns = monotonic_ns

    @staticmethod
    def time_ns() -> int:
        return machine().wall_ns + machine().now_ns

    @staticmethod
    def sleep(seconds: float) -> None:
        machine().sleep(int(seconds * NS))


_REPLACED: list[tuple[Any, Any]] = [
    (threading, THREADING),
    (queue, QUEUE),
    (threading.Lock, Lock),
    (threading.RLock, RLock),
    (threading.Event, Event),
    (queue.SimpleQueue, SimpleQueue),
    (concurrent.futures.ThreadPoolExecutor, ThreadPoolExecutor),
]
_NOT_WANTED = ("qts.cli", "qts.db.timescale", "qts.db.sheets", "qts.cache", "qts.workbench", "qts.report.charts")


def install() -> None:
    """Do it, before anything of the package is imported: what is imported later would see the real machine."""
    if any(name.startswith("qts") for name in sys.modules):
        raise RuntimeError("something of the package was imported before: a simulation is a process of its own")
    sys.modules["time"] = _Time  # type: ignore[assignment]
    importlib.import_module("qts.clock")
    sys.modules["time"] = time
    import qts

    for found in pkgutil.walk_packages(qts.__path__, "qts."):
        if not found.name.startswith(_NOT_WANTED):
            try:
                importlib.import_module(found.name)
            except ImportError:  # an optional library is missing: nothing of a session needs the module then
                continue
    for name, module in list(sys.modules.items()):
        if name.startswith("qts.") or name == "tests.broker.scripted":
            _replace_in(module)
    asyncio.set_event_loop_policy(Policy())
    system_calls.install()
    sqlite_files.install()
    logging.getLogger("asyncio").disabled = True  # it tells of the tasks of processes that were killed
    warnings.simplefilter("ignore", RuntimeWarning)  # and of their coroutines
    gc.collect()
    gc.freeze()


def _replace_in(module: Any) -> None:
    for name, value in list(vars(module).items()):
        for real, stand in _REPLACED:
            if value is real:
                setattr(module, name, stand)
