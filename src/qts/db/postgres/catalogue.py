"""The objects of a schema as the server describes them, and how two such descriptions differ.

Owners, rights, storage parameters and partitions are left out: administrators and our scheduler change them. So are
plain indexes that were added, and whole tables of others: they change no row of ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from qts.db.postgres.connection import SCHEMA, Connection, use_schema

Catalogue: TypeAlias = Mapping[str, str]
"""Definitions by kind and name, such as ``column t_ledger.tax``; long ones as their SHA-256."""

_LONGEST: Final = 200
_NUMBER_OF_TABLE: Final = re.compile(
    r"(_materialized_hypertable_|_hyper_|_direct_view_|_partial_view_|continuous_agg_invalidation_trigger\(')[0-9]+"
)
"""Tables that TimescaleDB makes or watches, counted over the database."""

_QUERY: Final = """
WITH our AS (
  SELECT c.* FROM pg_class c
  WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1)
    AND NOT c.relispartition
    AND NOT EXISTS (SELECT 1 FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT 'table ' || c.relname AS name,
  concat_ws(' ',
    CASE c.relkind WHEN 'r' THEN 'plain' WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(c.oid)
      ELSE 'foreign' END,
    CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
    CASE WHEN c.relrowsecurity THEN 'with row security' END) AS definition
FROM our c WHERE c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'column ' || c.relname || '.' || a.attname,
  concat_ws(' ',
    format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation::text END,
    CASE WHEN a.attnotnull THEN 'not null' END,
    CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
    CASE WHEN a.attgenerated <> '' THEN 'generated ' || a.attgenerated::text END,
    'default ' || pg_get_expr(d.adbin, d.adrelid))
FROM our c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'constraint ' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM our c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype NOT IN ('n', 't')
UNION ALL
SELECT CASE WHEN x.indisunique THEN 'unique index ' ELSE 'index ' END || c.relname || '.' || i.relname,
  pg_get_indexdef(i.oid) || CASE WHEN x.indisvalid THEN '' ELSE ' (not valid)' END
FROM our c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.oid AND k.conrelid = c.oid)
UNION ALL
SELECT 'trigger ' || c.relname || '.' || g.tgname,
  pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' (enabled: ' || g.tgenabled::text || ')' END
FROM our c JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'rule ' || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
FROM our c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'view ' || c.relname, pg_get_viewdef(c.oid) FROM our c WHERE c.relkind IN ('v', 'm')
UNION ALL
SELECT 'sequence ' || c.relname,
  concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)
FROM our c JOIN pg_sequence s ON s.seqrelid = c.oid
UNION ALL
SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
  CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE 'of kind ' || p.prokind::text END
FROM pg_proc p
WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1)
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'type ' || t.typname,
  concat_ws(' ', t.typtype, format_type(NULLIF(t.typbasetype, 0), t.typtypmod),
    CASE WHEN t.typnotnull THEN 'not null' END, t.typdefault,
    (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
    (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k
      WHERE k.contypid = t.oid AND k.contype <> 'n'))
FROM pg_type t
WHERE t.typnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1) AND t.typtype IN ('d', 'e', 'r')
"""


async def read_catalogue(connection: Connection, schema: str) -> Catalogue:
    """Return what the schema holds, as if it were named :data:`SCHEMA`.

    To be used in a transaction: the search path is the schema's until it ends.
    """
    await use_schema(connection, schema)
    rows = await connection.fetch(_QUERY, schema)
    return {
        _as_ours(row["name"], schema): _shortened(_as_ours(row["definition"], schema))
        for row in rows
        if row["definition"] is not None  # another session dropped it while this one read
    }


def differences(wanted: Catalogue, found: Catalogue) -> list[str]:
    """Return what of ``wanted`` is missing or otherwise in ``found``, and what in it changes how ours works."""
    ours = {name.removeprefix("table ") for name in wanted if name.startswith("table ")}
    lines = []
    for name, definition in sorted(wanted.items()):
        if name not in found:
            if not _is_of_missing_table(name, found):
                lines.append(f"{name} is missing")
        elif found[name] != definition:
            lines.append(_otherwise(name, definition, found[name]))
    functions = {_function(name) for name in wanted if name.startswith("function ")}
    for name in sorted(found.keys() - wanted.keys()):
        kind, _, rest = name.partition(" ")
        if kind == "function":
            is_in_our_way = _function(name) in functions
        else:
            is_in_our_way = kind in _CHANGES_A_TABLE and rest.removeprefix("index ").split(".")[0] in ours
        if is_in_our_way:
            lines.append(f"{name} is not ours")
    return lines


_CHANGES_A_TABLE: Final = frozenset({"column", "constraint", "unique", "trigger", "rule"})


def _is_of_missing_table(name: str, found: Catalogue) -> bool:
    """Return whether the object is part of a table that is missing itself, and so needs no line of its own."""
    table, dot, _ = name.rpartition(" ")[2].partition(".")
    return bool(dot) and not name.startswith("function ") and f"table {table}" not in found


def _otherwise(name: str, wanted: str, found: str) -> str:
    if name.startswith("column "):
        return f"{name} is {found}, not {wanted}"
    return f"{name} is defined otherwise"


def _function(name: str) -> str:
    return name.partition("(")[0]


def _as_ours(text: str, schema: str) -> str:
    """Return ``text`` as it is for :data:`SCHEMA`, without the names of schemas and of tables that are counted."""
    return _NUMBER_OF_TABLE.sub(r"\1", text.replace(schema, SCHEMA).replace(f"{SCHEMA}.", ""))


def _shortened(definition: str) -> str:
    return definition if len(definition) <= _LONGEST else hashlib.sha256(definition.encode()).hexdigest()
