"""``qts check``: runs a strategy many times over the same data and looks for what makes its backtest untrue."""
