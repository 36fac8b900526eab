"""The strategy of examples/sma_cross.py for freqtrade, which is a package of other authors."""

from freqtrade.strategy import IStrategy


class SmaCross(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1d"
    stoploss = -0.99

    def populate_indicators(self, dataframe, metadata):
        closes = dataframe.loc[dataframe["volume"] > 0, "close"]  # weekends were filled up
        dataframe["fast"] = closes.rolling(20).mean()
        dataframe["slow"] = closes.rolling(50).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["fast"] > dataframe["slow"], "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["fast"] < dataframe["slow"], "exit_long"] = 1
        return dataframe
