"""The five stages in their fixed order; the first refusal ends the journey and says why."""

from __future__ import annotations

from qts.pipeline.act import Act
from qts.pipeline.contracts import Outcome
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.transform import Transform
from qts.risk.contracts import Refused
from qts.strategy.contracts import Signal


class Pipeline:
    """Extract → Transform → Evaluate → Decide → Act for one signal."""

    def __init__(
        self, extract: Extract, transform: Transform, evaluate: Evaluate, decide: Decide, act: Act
    ) -> None:
        self._extract = extract
        self._transform = transform
        self._evaluate = evaluate
        self._decide = decide
        self._act = act

    async def run(self, signal: Signal) -> Outcome:
        candidate = self._evaluate(self._transform(self._extract(signal)))
        if isinstance(candidate, Refused):
            return candidate
        decision = self._decide(candidate)
        if isinstance(decision, Refused):
            return decision
        return await self._act(decision)
