"""KIS keeps the contract of brokers, on a live account and on a paper one, over real sockets against its double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.kis.world import KisWorld
from tests.conformance.broker import BrokerTests
from tests.conformance.broker_world import BrokerWorld


class TestLiveAccount(BrokerTests):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[BrokerWorld]:
        made = KisWorld(tmp_path, paper=False)
        yield made
        made.close()


class TestPaperAccount(BrokerTests):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[BrokerWorld]:
        made = KisWorld(tmp_path, paper=True)
        yield made
        made.close()
