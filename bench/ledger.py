"""How long ``qts ledger verify`` takes for a book of a million entries, beside reading its rows, and what it holds.

``python -m bench.ledger [--quick] [--json]``. Times are CPU times of processes of their own, medians.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

from bench.figures import machine, table
from bench.suite import run_suite
from qts.capital.contracts import Pool, Transfer
from qts.cli.main import main as qts
from qts.clock import NS_PER_S
from qts.db.contracts import DecisionRow, Record, RunRow
from qts.db.datadir import DATABASE_NAME
from qts.db.reading import StoreReader
from qts.db.sqlite import SqliteStore
from qts.execution.contracts import Fill, Order, OrderState
from qts.ids import seeded
from qts.ledger.account import Account
from qts.ledger.bookings import BookingNote
from qts.risk.contracts import OrderRequest
from qts.runtime.persistence.checkpoint import Checkpoints, Share
from qts.strategy.contracts import Side

ENTRIES, QUICK_ENTRIES = 1_000_000, 20_000
MOST_RATIO = 10
FILLS_PER_ORDER = 4
BATCH = 1_000
WEIGHTS = {Pool.SCALP: Decimal("0.4"), Pool.SWING: Decimal("0.35"), Pool.PORTFOLIO: Decimal("0.25")}
OWNERS = (("scalper", Pool.SCALP), ("swinger", Pool.SWING), ("holder", Pool.PORTFOLIO))
SYMBOLS = tuple(f"{number:06d}" for number in range(5_930, 5_950))
RUN_ID = "0123456789abcdef"
SECOND = 1_700_000_000


def write_book(directory: Path, entries: int) -> None:
    """Write a book of about ``entries`` entries: fills, four an order; a transfer and a deposit every thousand."""
    account = Account(opening=Decimal(10**15), quantum=Decimal(1), split=WEIGHTS)
    store = SqliteStore(directory / DATABASE_NAME, durability="NORMAL", rewindable=True)
    store.open_run(RunRow(RUN_ID, "replay", 7, "bench", "c" * 64, "2026-01-02T09:00:00+09:00", False))
    checkpoints = Checkpoints()
    checkpoints.register("account", Share(account.export_state, account.import_state))
    batch: list[Record] = []
    for records in _facts(account, entries):
        batch += records
        if len(batch) >= BATCH:
            store.commit(batch)
            batch = []
    store.commit([*batch, *account.pool_rows(), *account.position_rows()], checkpoints.encode())
    store.close()


def _facts(account: Account, entries: int) -> Iterator[list[Record]]:
    rng = seeded(1, "bench-ledger")
    for number in range(1, entries // FILLS_PER_ORDER + 1):
        ts_ns = (SECOND + number) * NS_PER_S
        yield _order(account, number, ts_ns, rng.randrange(10**6))
        if number % 250 == 0:
            transfer = Transfer(f"t-{number}", ts_ns, Pool.SCALP, Pool.SWING, Decimal(1_000), "to_targets", "drift")
            account.transfer(transfer)
            note = BookingNote(f"c-{number}", ts_ns, "kim", "more")
            deposit = account.deposit(Decimal(9_000), note, weights=WEIGHTS, remainder=Pool.SCALP)
            yield [transfer, *account.pool_rows(), *(effect.booking for effect in deposit)]


def _order(account: Account, number: int, ts_ns: int, drawn: int) -> list[Record]:
    strategy, pool = OWNERS[drawn % 3]
    symbol, side = SYMBOLS[drawn // 3 % len(SYMBOLS)], Side.SELL if number % 2 else Side.BUY
    order_id, price = f"o-{number}", Decimal(50_000 + drawn % 997)
    qty = Decimal(10)
    request = OrderRequest(
        client_order_id=order_id,
        decision_id=f"d-{number}",
        strategy=strategy,
        pool=pool,
        symbol=symbol,
        side=side,
        qty=qty * FILLS_PER_ORDER,
        limit=None,
        decision_price=price,
        ts_ns=ts_ns,
    )
    order = Order(
        request, approval_id=f"a-{number}", state=OrderState.FILLED, filled=request.qty, ts_update_ns=ts_ns
    )
    rows: list[Record] = [DecisionRow(f"a-{number}", f"d-{number}", order_id, ts_ns, ts_ns, "c" * 64, "{}"), order]
    for part in range(FILLS_PER_ORDER):
        fee, tax = Decimal(75), Decimal(900) if side is Side.SELL else Decimal(0)
        execution = f"x-{number}-{part}"
        last = part == FILLS_PER_ORDER - 1
        fill = Fill("sim", execution, order_id, symbol, side, qty, price, fee, tax, ts_ns + part, last=last)
        effect = account.apply_fill(fill, strategy=strategy, pool=pool)
        assert effect is not None
        rows.append(effect.ledger)
    return rows


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Seconds of CPU time and peak memory of reading the rows, and of the whole command."""
    entries, runs = (QUICK_ENTRIES, 1) if quick else (ENTRIES, 1)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        subprocess.run([sys.executable, "-m", "bench.ledger", "write", folder, str(entries)], check=True)
        found = [(_child("read", folder), _child("verify", folder)) for _ in range(runs)]
        size = (directory / DATABASE_NAME).stat().st_size
    read, verified = ([pair[place] for pair in found] for place in (0, 1))
    seconds = [statistics.median(one["cpu_s"] for one in each) for each in (read, verified)]
    ratio = seconds[1] / seconds[0]
    return {
        "machine": machine(),
        "runs": runs,
        "entries": read[0]["entries"],
        "file_mb": round(size / 2**20),
        "read_s": round(seconds[0], 2),
        "verify_s": round(seconds[1], 2),
        "read_peak_mb": max(one["peak_mb"] for one in read),
        "verify_peak_mb": max(one["peak_mb"] for one in verified),
        "targets": [
            {
                "what": "qts ledger verify, times reading the rows",
                "value": ratio,
                "bar": MOST_RATIO,
                "met": ratio <= MOST_RATIO,
            }
        ],
    }


def _child(what: str, folder: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.ledger", what, folder], check=True, capture_output=True, text=True
    )
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


def _in_child(what: str, folder: Path) -> int:
    """Read or verify the book in ``folder``, and print the CPU time and the peak memory of it."""
    entries = 0
    begun = process_time()
    if what == "read":
        with StoreReader(folder / DATABASE_NAME) as store:
            found = (store.ledger(), store.transfers(), store.bookings(), store.orders(), store.positions())
        entries = sum(map(len, found[:3]))
    else:
        code = qts(["ledger", "verify", "--json", "--data-dir", str(folder)])
        if code:
            raise SystemExit(f"verify ended with {code}")
    took = process_time() - begun
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)
    print(json.dumps({"cpu_s": took, "peak_mb": peak, "entries": entries}))
    return 0


def show(report: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [
        ["reading the rows", f"{report['read_s']:.2f} s", f"{report['read_peak_mb']:,} MB"],
        ["qts ledger verify", f"{report['verify_s']:.2f} s", f"{report['verify_peak_mb']:,} MB"],
    ]
    head = f"a book of {report['entries']:,} entries, {report['file_mb']:,} MB"
    return table([head, "CPU", "peak"], rows)


def main(argv: list[str]) -> int:
    match argv:
        case ["write", folder, entries]:
            write_book(Path(folder), int(entries))
            return 0
        case ["read" | "verify" as what, folder]:
            return _in_child(what, Path(folder))
    return run_suite("ledger", __doc__, f"{QUICK_ENTRIES:,} entries, one run", argv, measure, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
