"""The English text of every note; :mod:`qts.notes.rendering` says how placeholders are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    # what another program has written as text
    "text": "{text}",
    # what is traded with
    "real-money": "LIVE: this session traded real money",
    "paper-account": "PAPER ACCOUNT: this session traded at the broker without real money",
    # rules of the market
    "rule-before-first-row": "{subject}: no table before {since}; its first row was used for {day}",
    "rule-before-first-row-settled": (
        "{subject}: no table before {since}; its first row was used for settlement on {day}"
    ),
    "broker-fee": "broker fee",
    "sell-tax": "sell tax {board}",
    "sell-tax-with-rural": "sell tax {board}",
    "tick-table": "tick table {board}",
    "price-limit": "price limit",
    "session-times": "session times",
    "settlement": "settlement",
    "no-closed-days": "calendar: no closed days are known for {year}; weekdays count as trading days",
    # the input as a whole
    "input-delimiter": "input: cells are separated by {mark}, as its first line shows",
    "mark-comma": "commas",
    "mark-semicolon": "semicolons",
    "mark-tab": "tabs",
    "mark-bar": "vertical bars",
    "input-symbols-read": "input: symbols: read {named}",
    "symbol-read-as": "{spelled} as {symbol}",
    "some-of": "{named} and {count} more",
    "input-rules-kospi": (
        "input: rules: taken for shares of KOSPI: {named}; for another board write its market (KRX-KOSDAQ, "
        "KRX-ETF) into instruments.yaml"
    ),
    "input-rules-guessed": (
        "input: rules: guessed from the numbers of the file: {named}; to set them write the symbols into "
        "instruments.yaml"
    ),
    "rules-of-numbers": "{symbol} (tick {tick}, lot {lot}, never closed)",
    "rules-of-numbers-with-fee": "{symbol} (tick {tick}, lot {lot}, fee {fee}%, no tax, never closed)",
    "bars-read": "input: {symbols:symbol|symbols}, {bars:bar|bars} of {interval}, {known}",
    "bars-known-at-close": "each known at the close of its session",
    "bars-known-at-midnight": "each known at the midnight that ends its day",
    "bars-known-at-end": "each known at its end; times in the file are taken for their beginnings",
    "warm-up-read": "warm-up: bars of {interval} for {symbols:symbol|symbols}, from {named}",
    "warm-up-source": "{named} ({bars:bar|bars})",
    "warm-up-stored-values": "the market values recorded on {server}",
    "warm-up-stored-bars": "the bars of {interval} stored on {server}",
    "warm-up-own-rows": "the rows of the input before {day}",
    "warm-up-missing": (
        "warm-up: too few bars of {interval} for {symbols:symbol|symbols}: {named}; until they are there no entry "
        "leaves; rows before --from and files of --history give them"
    ),
    "bars-none": (
        "bars of {interval}: {strategy} declares them and none has come; they are built from trades, or "
        "from bars of the input that are as short or shorter"
    ),
    "warm-up-dropped": "warm-up: dropped {count:order|orders} that {strategy} wanted before the session",
    "warm-up-found": "{symbol} has {found} of {wanted}",
    "bars-encoding": "input: read as {encoding}, as the names of its columns show",
    "bars-without-volume": "input: {bars:bar has|bars have} a volume of 0, in which nothing fills",
    "bars-symbols-named": "input: symbols taken from the names of the files: {named}",
    "bars-newest-first": "input: the newest row comes first, read in the order of time: {named}",
    "bars-floats": ("input: the columns {columns} hold binary floats; each number is read as its shortest decimal"),
    "bars-actions": "input: {count:corporate action|corporate actions} read, {left} of other symbols left out",
    "bars-actions-derived": (
        "input: {count:corporate action|corporate actions} derived from the adjusted close, as exactly as its "
        "decimals allow, e.g. {symbol} on {day}: {kind} {value}; a file actions.csv gives them exactly"
    ),
    "action-dividend": "dividend of",
    "action-split": "split",
    "bars-adjusted-unused": (
        "input: the adjusted close of {symbol} is not used: bars of {interval} do not tell the day of a split or "
        "dividend"
    ),
    "bars-binary-noise": (
        "input: {noisy:price or volume carries|prices and volumes carry} binary noise and {noisy:is|are} read as "
        "the decimal, e.g. {place}: {was} as {now}"
    ),
    "input-depth-gaps": (
        "input: {symbol}: {count:gap|gaps} in the depth updates; after each the depth counts as unknown until the "
        "next snapshot"
    ),
    "input-trades-missing": "input: {symbol}: {count:trade is|trades are} missing from the recording",
    "values-recorded": "{count:market value|market values} recorded on the server, {waiting} waiting for it",
    "values-not-cached": (
        "cache: {count:value|values} not written to it: too many waited, or it did not answer in time ({kinds})"
    ),
    "values-not-recorded": (
        "{count:market value was|market values were} not recorded on the server, because too many waited for it "
        "({symbols})"
    ),
    "values-refused-by-server": (
        "{count:market value cannot|market values cannot} be stored on the server; the first: {why}"
    ),
    "input-ended-early": "input: {damage} (after line {line})",
    "gzip-truncated": "the gzip file ends in the middle; its last line is dropped",
    "gzip-damaged": (
        "the gzip data is damaged: what follows is lost, and values before this place may be wrong ({error})"
    ),
    "parquet-damaged": "row group {group} cannot be read: {error}",
    "input-binary-noise": (
        "input: {noisy} of {numbers} prices and sizes in the first {rows:row|rows} carry binary noise; such "
        "numbers are put on the decimal grid, e.g. line {line}: {was} is taken for {now}"
    ),
    "input-float-sizes": (
        "input: sizes of {symbol} are binary floats without a grid, e.g. line {line}: {was}; its lot is taken to "
        "be {lot}"
    ),
    # the session
    "dead-letters": "dead letters: {count:event|events} of {priority} could not be handled{last}",
    "last-error": "; the last: {error}",
    "quarantine": (
        "quarantine: {count:notice of the broker was|notices of the broker were} not booked; the first at {at} "
        "({code}): {reason}"
    ),
    "stopped-by-operator": (
        "stopped: {scope} is stopped since {since} by {operator} ({reason}); it takes no entry until it is released"
    ),
    "scope-strategy": "strategy {name}",
    "scope-symbol": "symbol {name}",
    "scope-pool": "pool {name}",
    "stopped-after-rejects": (
        "stopped: {count:order|orders} of {symbol} in a row rejected (the last: {reason}); it takes no entry until "
        "the next day"
    ),
    "limit-refused": "limits: {count:order was|orders were} refused by the limit {limit}, and never left",
    "limit-volume-unknown": (
        "limits: of {count:entry|entries} the average volume was not known; their quantity alone was limited"
    ),
    "limit-session-info-unknown": (
        "limits: the source of prices tells no halts and no marks of an exchange; entries are not judged by them"
    ),
    "order-unknown": (
        "the fate of {about} is unknown: the broker was asked {count:time|times}, the next question {next}; {held} "
        "held back, and no other {side} of {symbol} leaves meanwhile"
    ),
    "order-unknown-at-end": (
        "the fate of {about} was unknown at the end: the broker was asked {count:time|times}; {held} held back, "
        "and no other {side} of {symbol} leaves before the resumed session knows it"
    ),
    "exit-open-at-end": (
        "the exit of {qty} {symbol} that {strategy} holds was not over at the end; the resumed session goes on "
        "with it: {reason}"
    ),
    "order-in-words": "order {order} ({side} {qty} {symbol} {price})",
    "side-buy": "BUY",
    "side-sell": "SELL",
    "at-market": "at the market",
    "at-limit": "at {limit}",
    "question-now": "is under way",
    "question-in": "in {seconds} s",
    "held-back-cash": "{amount} {currency}",
    "held-back-shares": "{qty} {symbol}",
    "server-has-all": "server: {server} has all {batches:batch|batches} of this run",
    "server-lacks": (
        "server: {server} lacks {lacks} of {batches:batch|batches} of this run ({reason}); they wait in "
        "{directory}, and the same command with --resume sends them"
    ),
    "server-unknown": (
        "server: {server} was not asked what it has of the {batches:batch|batches} of this run ({reason}); "
        "nothing is lost: they are in {directory}, and the same command with --resume sends what it lacks"
    ),
    "server-not-drained": "the session did not wait longer than store.drain_s",
    "server-unnamed": "the server",
    "server-unnamed-sheets": "Google Sheets",
    "server-altered": (
        "server: {server} had rows that were not as they were sent, and the local book holds what is true: {first}"
    ),
    "price-in-doubt": (
        "prices: {price}; {refused:value was|values were} refused, the symbol is in doubt and takes no entry. Was "
        "the share split, or did its rights go ex? Use adjusted prices, or cut the file at {cut}"
    ),
    "price-was-doubted": (
        "prices: {price}; {refused:value was|values were} refused, later prices were believed again"
    ),
    "impossible-price": (
        "{symbol}: {price} at {at} is outside the day's band of {low} to {high} around {base}{split}"
    ),
    "base-previous": "{price}",
    "base-first-price": "the day's first price {price}",
    "split-likely": " (a {ratio} split?)",
    "fills-on-open": (
        "fills on bars: from the next bar's open on, slippage {ticks:price step|price steps}, within {share} % of "
        "a bar's volume"
    ),
    "fills-on-close": "fills on bars: at the close of a bar of the order's day, within {share} % of its volume",
    "held-without-price": (
        "{count:holding has|holdings have} had no price for {days} days or more, {symbol} since {since}; valued at "
        "the last one"
    ),
    "no-previous-close": (
        "price band: no previous close in the data for {count:symbol; its first price was|symbols; their first "
        "price was} used as previous close"
    ),
    # figures of performance that are unknown
    "performance-unknown": "performance: there are no figures: {error}",
    "figure-too-few-days": "not enough to say: {days:session|sessions}, {needed} are needed",
    "figure-no-days": "not enough to say: no session was closed",
    "figure-no-spread": "not enough to say: each day's return was the same",
    "figure-no-fall": "not enough to say: equity never fell",
    "figure-no-capital": "not enough to say: there was no capital",
    "figure-flat-benchmark": "not enough to say: the benchmark never moved",
    "figure-nothing-traded": "not enough to say: nothing was bought or sold",
    "figure-no-trips": "not enough to say: no round trip was completed",
    "figure-no-losing-trip": "not enough to say: no round trip made a loss",
    "figure-no-winning-trip": "not enough to say: no round trip made a profit",
    "figure-no-stop": "not enough to say: no round trip had a stop",
    "figure-no-prices": "not enough to say: the prices during the round trips are not known",
    # searches over parameters
    "search-luck-unknown": (
        "best of {trials}; how much of it is luck cannot be told: too few sessions, or too few trials that traded"
    ),
    "search-no-best": (
        "none of {trials} trials can be ranked: they failed, traded too little or had too few sessions"
    ),
    "search-verdict": "best of {trials}; a lucky one would look like this with {chance} %",
    "search-verdict-judged": (
        "best of {trials}; a lucky one would look like this with {chance} %; in {held} of {folds} folds "
        "the best also gained in sessions it was not chosen by"
    ),
}
"""Code to text."""
