-- Runs that trade with a real broker: what happened there stays, so nothing of them is ever deleted. A simulated run is
-- taken back to its checkpoint, which deletes, and is not in this table. Bars are pruned in both: nothing is booked from
-- them.
CREATE TABLE kept_runs (
    run_id TEXT PRIMARY KEY REFERENCES runs (run_id)
) WITHOUT ROWID;

CREATE TRIGGER kept_runs_is_append_only BEFORE UPDATE ON kept_runs
BEGIN
    SELECT RAISE(ABORT, 'kept_runs is append-only');
END;

CREATE TRIGGER refusals_is_append_only BEFORE UPDATE ON refusals
BEGIN
    SELECT RAISE(ABORT, 'refusals is append-only');
END;

CREATE TRIGGER equity_curve_is_append_only BEFORE UPDATE ON equity_curve
BEGIN
    SELECT RAISE(ABORT, 'equity_curve is append-only');
END;

CREATE TRIGGER t_ledger_is_kept BEFORE DELETE ON t_ledger
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from t_ledger: its run trades with a real broker');
END;

CREATE TRIGGER capital_transfers_is_kept BEFORE DELETE ON capital_transfers
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from capital_transfers: its run trades with a real broker');
END;

CREATE TRIGGER decisions_is_kept BEFORE DELETE ON decisions
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from decisions: its run trades with a real broker');
END;

CREATE TRIGGER refusals_is_kept BEFORE DELETE ON refusals
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from refusals: its run trades with a real broker');
END;

CREATE TRIGGER state_history_is_kept BEFORE DELETE ON state_history
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from state_history: its run trades with a real broker');
END;

CREATE TRIGGER safety_history_is_kept BEFORE DELETE ON safety_history
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from safety_history: its run trades with a real broker');
END;

CREATE TRIGGER equity_curve_is_kept BEFORE DELETE ON equity_curve
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from equity_curve: its run trades with a real broker');
END;

CREATE TRIGGER quarantine_is_kept BEFORE DELETE ON quarantine
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from quarantine: its run trades with a real broker');
END;

CREATE TRIGGER corporate_actions_is_kept BEFORE DELETE ON corporate_actions
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from corporate_actions: its run trades with a real broker');
END;

CREATE TRIGGER bookings_is_kept BEFORE DELETE ON bookings
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from bookings: its run trades with a real broker');
END;

CREATE TRIGGER day_closes_is_kept BEFORE DELETE ON day_closes
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from day_closes: its run trades with a real broker');
END;

CREATE TRIGGER holding_closes_is_kept BEFORE DELETE ON holding_closes
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from holding_closes: its run trades with a real broker');
END;

CREATE TRIGGER batches_is_kept BEFORE DELETE ON batches
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from batches: its run trades with a real broker');
END;

CREATE TRIGGER orders_is_kept BEFORE DELETE ON orders
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from orders: its run trades with a real broker');
END;

CREATE TRIGGER positions_is_kept BEFORE DELETE ON positions
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from positions: its run trades with a real broker');
END;

CREATE TRIGGER capital_pools_is_kept BEFORE DELETE ON capital_pools
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from capital_pools: its run trades with a real broker');
END;

CREATE TRIGGER configurations_is_kept BEFORE DELETE ON configurations
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from configurations: its run trades with a real broker');
END;

CREATE TRIGGER strategy_files_is_kept BEFORE DELETE ON strategy_files
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from strategy_files: its run trades with a real broker');
END;

CREATE TRIGGER runs_is_kept BEFORE DELETE ON runs
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from runs: its run trades with a real broker');
END;

CREATE TRIGGER kept_runs_is_kept BEFORE DELETE ON kept_runs
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from kept_runs: its run trades with a real broker');
END;
