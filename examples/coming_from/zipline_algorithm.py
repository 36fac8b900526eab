"""The strategy of examples/sma_cross.py for zipline (zipline-reloaded), which is a package of other authors."""

import tempfile
from pathlib import Path

import pandas as pd
from zipline import run_algorithm
from zipline.api import order_target_percent, set_commission, set_slippage, symbol
from zipline.data.bundles import ingest, register
from zipline.data.bundles.csvdir import csvdir_equities
from zipline.finance.commission import NoCommission
from zipline.finance.slippage import NoSlippage
from zipline.utils.calendar_utils import get_calendar

FAST, SLOW = 20, 50


def initialize(context):
    context.asset = symbol("005930")
    context.seen = 0
    set_commission(NoCommission())
    set_slippage(NoSlippage())


def handle_data(context, data):
    context.seen += 1
    if context.seen < SLOW:
        return
    prices = data.history(context.asset, "price", SLOW, "1d")
    fast, slow = prices[-FAST:].mean(), prices.mean()
    held = context.portfolio.positions[context.asset].amount
    if fast > slow and not held:
        order_target_percent(context.asset, 1.0)
    elif fast < slow and held:
        order_target_percent(context.asset, 0.0)


calendar = get_calendar("XKRX")
bars = pd.read_csv("005930.csv", index_col="Date", parse_dates=True).rename(columns=str.lower)
first, last = bars.index[0], bars.index[-1]
bars = bars.reindex(calendar.sessions_in_range(first, last))  # a bundle wants a row for every session
bars["volume"] = bars.volume.fillna(0)
folder = Path(tempfile.mkdtemp(), "daily")
folder.mkdir()
bars.to_csv(folder / "005930.csv", index_label="date")
register("krx", csvdir_equities(["daily"], str(folder.parent)), calendar_name="XKRX")
ingest("krx", show_progress=False)
results = run_algorithm(
    start=first,
    end=last,
    initialize=initialize,
    handle_data=handle_data,
    capital_base=100_000_000,
    bundle="krx",
    trading_calendar=calendar,
)
print(f"{results.portfolio_value.iloc[-1]:,.0f}")
for day in results.transactions:
    for fill in day:
        print(fill["dt"].date(), fill["amount"], fill["price"])
