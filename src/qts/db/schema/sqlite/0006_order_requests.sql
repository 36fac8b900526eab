-- What was asked for, whole, and every number under which venues know an order, oldest first: a JSON list of day, number,
-- venue and branch. Orders of before were simulated; their day is that of their intent in UTC. Each row, and the image of
-- how it stood at the checkpoint before (a JSON list of its columns), says the same with the defaults.
ALTER TABLE orders RENAME COLUMN broker_order_id TO venue_refs;
ALTER TABLE orders ADD COLUMN type TEXT NOT NULL DEFAULT 'MARKET';
ALTER TABLE orders ADD COLUMN time_in_force TEXT NOT NULL DEFAULT 'DAY';
ALTER TABLE orders ADD COLUMN venue TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN expires_at INTEGER;
ALTER TABLE orders ADD COLUMN stop_price TEXT;
ALTER TABLE orders ADD COLUMN tag TEXT NOT NULL DEFAULT '';

UPDATE orders SET
    type = CASE WHEN price IS NULL THEN 'MARKET' ELSE 'LIMIT' END,
    venue_refs = CASE venue_refs WHEN '' THEN '[]' ELSE json_array(json_object(
        'day', date(created_at / 1000000000, 'unixepoch'), 'number', venue_refs, 'venue', 'sim', 'branch', ''
    )) END;

UPDATE orders SET before = json_insert(
    json_set(before, '$[14]', CASE json_extract(before, '$[14]') WHEN '' THEN '[]' ELSE '' || json_array(json_object(
        'day', date(created_at / 1000000000, 'unixepoch'), 'number', json_extract(before, '$[14]'), 'venue', 'sim',
        'branch', ''
    )) END),
    '$[19]', type, '$[20]', 'DAY', '$[21]', '', '$[22]', '', '$[23]', NULL, '$[24]', NULL, '$[25]', ''
) WHERE before IS NOT NULL;
