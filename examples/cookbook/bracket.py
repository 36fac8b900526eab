"""A day that closes far below its open is bought, with both ways out fixed beforehand: a stop and a take.

qts backtest cookbook-data/days --strategy examples/cookbook/bracket.py:Bracket
"""

from qts.kit import Away, Strategy, Target, param


class Bracket(Strategy):
    fall, stop, take = param(0.03, 0.01, 0.10), param(0.04, 0.01, 0.20), param(0.06, 0.01, 0.30)

    def on_bar(self, ctx, bar):
        fell = 1 - float(bar.close / bar.open)
        if fell > self.fall and ctx.is_flat(bar.symbol) and not ctx.working(bar.symbol):
            # Bound to the position: they follow its size and end with it.
            stop, take = Away(share=self.stop), Away(share=self.take)
            yield Target(bar.symbol, weight=0.15, stop=stop, take=take, reason=f"fell {fell:.1%}")
