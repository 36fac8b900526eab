"""The whole configuration as one frozen value made of each package's own, and the files it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from qts.broker.gateway import config as gateway_config
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.limits import config as limits_config
from qts.broker.gateway.limits import count_config as count_limits_config
from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.kis import config as kis_config
from qts.broker.kis.config import KisConfig
from qts.broker.sim import config as sim_config
from qts.broker.sim.config import SimConfig
from qts.cache import config as cache_config
from qts.cache.config import CacheConfig
from qts.capital import config as capital_config
from qts.capital.config import CapitalConfig
from qts.config import data_config, runtime_config
from qts.config import instruments as instruments_config
from qts.config.data_config import DataConfig
from qts.config.instruments import InstrumentsConfig
from qts.config.runtime_config import RuntimeConfig
from qts.config.shape import Shape, shape_of
from qts.db import config as store_config
from qts.db import sheets_config
from qts.db.config import StoreConfig
from qts.db.sheets_config import SheetsConfig
from qts.event import config as event_config
from qts.event.config import EventConfig
from qts.execution import config as execution_config
from qts.execution.config import ExecutionConfig
from qts.pipeline import config as pipeline_config
from qts.pipeline.config import PipelineConfig
from qts.risk import config as risk_config
from qts.risk.config import RiskConfig
from qts.safety import config as safety_config
from qts.safety.config import SafetyConfig
from qts.state import config as state_config
from qts.state.config import StateConfig


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of the brokers, one group for each, and of the way to them."""

    gateway: Annotated[
        GatewayConfig, Meta(description="the gateway, through which every order and query leaves for a broker")
    ] = GatewayConfig()
    limits: Annotated[
        CountLimits, Meta(description="the limits of each order, the last check before it may leave for a broker")
    ] = CountLimits()
    sim: Annotated[SimConfig, Meta(description="the simulated exchange of replay, demo and paper")] = SimConfig()
    kis: Annotated[
        KisConfig, Meta(description="KIS (Korea Investment & Securities), whose keys come from the environment")
    ] = KisConfig()

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        groups = (("limits", self.limits.problems()), ("sim", self.sim.problems()), ("kis", self.kis.problems()))
        return [(f"{group}.{path}", message) for group, found in groups for path, message in found]


class QtsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration. Each field is one file, ``config/<field>.yaml``."""

    runtime: Annotated[
        RuntimeConfig, Meta(description="The session itself: account, hours, intervals, freshness, log.")
    ] = RuntimeConfig()
    instruments: Annotated[
        InstrumentsConfig,
        Meta(description="Symbols of recorded files with rules other than their format brings."),
    ] = InstrumentsConfig()
    data: Annotated[DataConfig, Meta(description="Recorded data: prepared captures.")] = DataConfig()
    store: Annotated[StoreConfig, Meta(description="Servers that follow the local book: who waits for them.")] = (
        StoreConfig()
    )
    sheets: Annotated[
        SheetsConfig,
        Meta(description="The spreadsheet that follows the local book: where it is, how often it is called."),
    ] = SheetsConfig()
    cache: Annotated[
        CacheConfig, Meta(description="The cache for other programs and machines: keys, lifetimes, breaker.")
    ] = CacheConfig()
    event: Annotated[
        EventConfig, Meta(description="Queues, dispatcher and monitoring of the events (P0 first, always).")
    ] = EventConfig()
    safety: Annotated[SafetyConfig, Meta(description="When warnings end and when failures lock trading down.")] = (
        SafetyConfig()
    )
    state: Annotated[
        StateConfig, Meta(description="The operating state: how it moves and what each state allows.")
    ] = StateConfig()
    risk: Annotated[
        RiskConfig, Meta(description="The gate before every order; limits before the state's multiplier.")
    ] = RiskConfig()
    capital: Annotated[CapitalConfig, Meta(description="The three pools of capital.")] = CapitalConfig()
    pipeline: Annotated[PipelineConfig, Meta(description="The decision path: how an intent becomes an order.")] = (
        PipelineConfig()
    )
    execution: Annotated[
        ExecutionConfig, Meta(description="How orders are executed: in parts, adjusted, given up.")
    ] = ExecutionConfig()
    broker: Annotated[BrokerConfig, Meta(description="The brokers.")] = BrokerConfig()


class Layout(msgspec.Struct, frozen=True):
    """A configuration: the struct whose fields are its files, and which settings may change while running.

    ``reloadable`` holds dotted names within each section; a name covers everything below it.
    """

    root: type[msgspec.Struct]
    reloadable: Mapping[str, frozenset[str]]

    @property
    def shape(self) -> Shape:
        """Return the shape of the whole configuration."""
        return shape_of(self.root)

    @property
    def sections(self) -> tuple[str, ...]:
        """Return the names of the files, without their ending."""
        return self.root.__struct_fields__

    def may_change(self, path: str) -> bool:
        """Return whether the setting at ``path`` (dotted, with its section) may change without a restart."""
        section, _, inner = path.partition(".")
        names = self.reloadable.get(section, frozenset())
        parts = inner.split(".")
        return any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1))


QTS: Final = Layout(
    root=QtsConfig,
    reloadable={
        "runtime": runtime_config.RELOADABLE,
        "instruments": instruments_config.RELOADABLE,
        "data": data_config.RELOADABLE,
        "store": store_config.RELOADABLE,
        "sheets": sheets_config.RELOADABLE,
        "cache": cache_config.RELOADABLE,
        "event": event_config.RELOADABLE,
        "safety": safety_config.RELOADABLE,
        "state": state_config.RELOADABLE,
        "risk": risk_config.RELOADABLE,
        "capital": capital_config.RELOADABLE,
        "pipeline": pipeline_config.RELOADABLE,
        "execution": execution_config.RELOADABLE,
        "broker": frozenset(
            {f"sim.{name}" for name in sim_config.RELOADABLE}
            | {f"gateway.{name}" for name in gateway_config.RELOADABLE}
            | {f"limits.{name}" for name in limits_config.RELOADABLE | count_limits_config.SOFT}
            | {f"kis.{name}" for name in kis_config.RELOADABLE}
        ),
    },
)
"""The configuration of QTS."""
