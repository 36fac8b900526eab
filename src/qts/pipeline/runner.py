"""The five stages in their fixed order; the first refusal, with its reason, is the outcome."""

from __future__ import annotations

from collections.abc import Sequence

from qts.ids import CounterIds
from qts.pipeline.act import Act
from qts.pipeline.contracts import Decision, Outcome
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.resolve import Resolve
from qts.pipeline.transform import Transform
from qts.risk.contracts import Refused
from qts.strategy.contracts import Signal


class Pipeline:
    """Extract → Transform → Evaluate → Decide → Act for one signal; a target is resolved into an intent before.

    ``ids`` are the counters that deciding uses up: a signal whose decision raised is decided again with them.
    """

    def __init__(
        self,
        extract: Extract,
        transform: Transform,
        evaluate: Evaluate,
        decide: Decide,
        act: Act,
        resolve: Resolve,
        ids: Sequence[CounterIds] = (),
    ) -> None:
        self.resolve = resolve
        self._extract = extract
        self._transform = transform
        self._evaluate = evaluate
        self._decide = decide
        self._act = act
        self._ids = ids

    def decided(self, signal: Signal) -> Decision | Refused:
        """Return the decision on a signal, or its refusal. An error has changed nothing: it may come again."""
        before = [ids.last for ids in self._ids]
        try:
            candidate = self._evaluate(self._transform(self._extract(signal)))
            return candidate if isinstance(candidate, Refused) else self._decide(candidate)
        except Exception:
            for ids, last in zip(self._ids, before, strict=True):
                ids.continue_after(last)
            raise

    async def act(self, decision: Decision) -> Outcome:
        """Send the order of a decision; return the outcome. Any error has left the order half done."""
        return await self._act(decision)
