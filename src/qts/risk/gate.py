"""The pre-trade gate: the last question before an order may leave, and the only maker of an ``Approved``.

It puts limits, account and request together and asks the rules in :mod:`qts.risk.rules`, which also say what
may always leave and what never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from qts.clock import NS_PER_MS, from_ns
from qts.errors import ConfigError
from qts.ids import IdSource
from qts.money import ONE, decimal_fraction, times
from qts.risk.config import RiskConfig
from qts.risk.contracts import (
    AccountView,
    Approved,
    GateValues,
    OrderRequest,
    Refusal,
    Refused,
    RiskLimits,
    Verdict,
)
from qts.risk.rules import Case, rules_for
from qts.state.contracts import OperatingState, StateProperties


class RiskGate:
    """Answers order requests; holds no state but its settings, so a reload makes a new gate with the same ``ids``.

    An answer depends on request, snapshot and settings alone, so any thread may ask; one that is not the session's
    brings ids of its own.

    Raises :class:`~qts.errors.ConfigError` when the settings contradict themselves or an operating state has no
    properties. ``config_hash`` is written into every approval.
    """

    def __init__(
        self,
        config: RiskConfig,
        properties: Mapping[OperatingState, StateProperties],
        config_hash: str,
        ids: IdSource,
    ) -> None:
        for field, message in config.problems():
            raise ConfigError(f"risk.{field}: {message}")
        missing = [state.value for state in OperatingState if state not in properties]
        if missing:
            raise ConfigError(f"the risk gate needs the properties of every operating state, missing: {missing}")
        self._config = config
        self._properties = dict(properties)
        self._config_hash = config_hash
        self._ids = ids
        self._ttl_ns = config.approval_ttl_ms * NS_PER_MS
        self._deviation = decimal_fraction(repr(config.max_price_deviation))
        self._allowance = decimal_fraction(repr(config.market_order_allowance))
        self._limits = {state: limits_for(config, rules) for state, rules in properties.items()}

    @property
    def config(self) -> RiskConfig:
        """Return the base limits."""
        return self._config

    @property
    def config_hash(self) -> str:
        """Return the hash of the whole configuration in force."""
        return self._config_hash

    def limits(self, state: OperatingState) -> RiskLimits:
        """Return the limits in force in ``state``."""
        return self._limits[state]

    def values(self) -> GateValues:
        """Return every base value as text, for reports."""
        return {name: str(getattr(self._config, name)) for name in self._config.__struct_fields__}

    def evaluate(
        self, request: OrderRequest, view: AccountView, day: date | None = None, ids: IdSource | None = None
    ) -> Verdict:
        """Return one verdict: a fresh single-use approval, or the first reason against it.

        ``day`` is the market's own date at ``view.now_ns``, from a caller who has looked it up already. ``ids``
        name the approval; None: those of the gate, for the session's thread alone.
        """
        instrument = view.instrument
        if instrument is None:
            return Refused(request, Refusal.UNKNOWN_SYMBOL, f"no instrument is known as {request.symbol!r}")
        case = Case(
            request,
            view,
            instrument,
            self._limits[view.state],
            self._properties[view.state],
            self._config,
            self._deviation,
            self._allowance,
            instrument.calendar.local_date(from_ns(view.now_ns)) if day is None else day,
        )
        for rule in rules_for(request):
            refused = rule(case)
            if refused is not None:
                return refused
        approval_id = (self._ids if ids is None else ids).next_id()
        return Approved(approval_id, request, self._config_hash, view.now_ns + self._ttl_ns)


def limits_for(config: RiskConfig, rules: StateProperties) -> RiskLimits:
    """Return base limits × risk multiplier: position size, symbol weight and losses; exposure stays.

    No fraction is scaled above 1.
    """
    multiplier = rules.multiplier

    def scaled(value: float) -> Decimal:
        """Return a fraction times the multiplier, at most 1."""
        return min(times(decimal_fraction(repr(value)), multiplier), ONE)

    return RiskLimits(
        exposure_limit=decimal_fraction(repr(config.exposure_limit)),
        symbol_weight_limit=scaled(config.symbol_weight_limit),
        daily_loss_warning=scaled(config.daily_loss_warning),
        daily_loss_limit=scaled(config.daily_loss_limit),
        max_positions=rules.max_positions,
        max_daily_trades=rules.max_daily_trades,
        multiplier=multiplier,
        position_size_limit=scaled(config.position_size_limit),
    )
