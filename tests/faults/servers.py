"""Faults of the servers that follow."""

from __future__ import annotations

from tests.faults import Fault, Group

SERVERS = Group(
    "Servers that follow: database, cache, spreadsheet",
    (
        Fault(
            "database killed",
            "The database server or the process that writes to it is killed, again and again.",
            "The local book goes on; afterwards the server has every row once.",
            ("tests/db/server/test_kills.py::test_kills_of_the_process_and_of_the_server_lose_and_double_nothing",),
        ),
        Fault(
            "slow database",
            "The server is five seconds away.",
            "It counts as away, the session goes on, and it is followed again when it is near.",
            ("tests/db/server/test_slow.py::test_a_server_5_s_away_is_away_and_is_followed_when_it_is_near_again",),
        ),
        Fault(
            "half a transaction",
            "A batch fails in its middle, or loses a deadlock.",
            "Nothing of it is left, and it is applied as a whole later.",
            (
                "tests/db/server/test_transactions.py::test_an_error_in_the_middle_leaves_nothing_of_a_batch",
                "tests/db/server/test_transactions.py::test_the_loser_of_a_deadlock_is_applied_as_a_whole",
            ),
        ),
        Fault(
            "cache away",
            "The cache fails five times in a row.",
            "It is left alone, every value comes from the source, and a probe a minute finds it again.",
            (
                "tests/cache/test_guarded.py::test_a_cache_that_is_back_is_found_by_the_probe",
                "tests/cache/test_breaker.py::test_it_opens_at_the_fifth_failure_in_a_row",
            ),
        ),
        Fault(
            "cache believed",
            "The cache holds an older or a wrong position.",
            "No decision reads it.",
            ("tests/cache/test_nothing_reads.py",),
        ),
        Fault(
            "spreadsheet without quota",
            "The spreadsheet answers for ten minutes that it takes no more.",
            "It is asked with longer and longer pauses, rows wait in order, and trading is untouched.",
            (
                "tests/db/sheets/test_pace.py::"
                "test_ten_minutes_without_quota_are_waited_for_with_longer_and_longer_pauses",
                "tests/db/sheets/test_following.py::"
                "test_an_outbox_of_seven_days_is_sent_oldest_first_at_the_pace_that_is_allowed",
            ),
        ),
        Fault(
            "edited spreadsheet",
            "Someone edits, sorts or deletes rows of the spreadsheet.",
            "The difference is named, the local book wins, and nothing is read back.",
            (
                "tests/db/sheets/test_people.py::"
                "test_an_edited_row_is_named_and_the_local_book_is_written_beside_it",
                "tests/db/sheets/test_people.py::test_what_someone_changed_is_never_a_part_of_a_book",
            ),
        ),
        Fault(
            "spreadsheet writer killed",
            "The writer is killed at any call.",
            "No row is there twice, none is missing.",
            ("tests/db/sheets/test_kills.py::test_kills_at_any_call_lose_and_double_nothing",),
        ),
        Fault(
            "database away at the start",
            "The database does not run when a session begins.",
            "The session trades and is followed later; with `store.durability: server` no entry leaves until then.",
            (
                "tests/db/server/test_away.py::test_a_server_that_is_down_at_the_start_is_followed_later",
                "tests/runtime/test_server_sessions.py::"
                "test_with_the_durability_of_a_server_that_is_away_no_entry_leaves",
            ),
        ),
        Fault(
            "half-open line to the database",
            "The line swallows requests or answers and does not end.",
            "It is left after its deadline and made again; what was applied is asked for, and every fill is there"
            " once.",
            (
                "tests/db/server/test_network.py::test_connections_that_are_half_open_are_left_and_made_again",
                "tests/db/server/test_network.py::test_lost_answers_to_commits_leave_every_fill_there_once",
            ),
        ),
        Fault(
            "full disk of the database",
            "The disk of the database server is full.",
            "The session goes on, and the server is caught up when there is space again.",
            ("tests/db/server/test_full_disk.py::test_a_full_disk_of_the_server_stops_nothing_and_is_caught_up",),
        ),
        Fault(
            "no connection left",
            "Others have taken all connections of the database.",
            "It is said at once; the writer keeps a connection of its own.",
            (
                "tests/db/server/test_transactions.py::"
                "test_a_server_without_free_connections_is_said_at_once_and_the_writer_keeps_its_own",
            ),
        ),
        Fault(
            "read-only copy",
            "The URL leads to a replica.",
            "It is refused with what to do.",
            ("tests/db/server/test_transactions.py::test_a_replica_is_refused_with_what_to_do",),
        ),
        Fault(
            "changed schema",
            "A table, column or function of the database is not as it was made.",
            "Every difference is named, nothing is repaired, and no session begins with it.",
            (
                "tests/db/postgres/test_drift.py::test_every_difference_is_named_and_nothing_is_repaired",
                "tests/db/timescale/test_opening.py::test_a_schema_that_has_drifted",
                "tests/db/test_migrate.py::test_a_schema_that_drifted_is_refused_by_name",
            ),
        ),
        Fault(
            "interrupted migration",
            "The connection is cut at any statement of a migration.",
            "Nothing of that step is left, and the next run finishes.",
            (
                "tests/db/postgres/test_migrate.py::"
                "test_the_migrations_of_this_version_finish_after_a_cut_at_any_statement",
                "tests/db/test_migrate.py::test_a_migration_that_fails_leaves_nothing_and_can_be_run_again",
            ),
        ),
        Fault(
            "restored to yesterday",
            "The database is restored from an older backup.",
            "It is given what it lacks, and until then the missing batches are named.",
            (
                "tests/db/server/test_restored.py::test_a_server_restored_to_yesterday_is_given_what_it_lacks",
                "tests/db/tools/test_copies.py::"
                "test_a_server_that_was_restored_to_an_earlier_moment_lacks_named_batches",
            ),
        ),
        Fault(
            "no TimescaleDB",
            "The database has no extension TimescaleDB.",
            "Everything works on plain PostgreSQL, and that is said once.",
            (
                "tests/db/timescale/test_opening.py::test_a_plain_server_is_opened_and_says_so_once",
                "tests/db/postgres/test_timescale.py::"
                "test_a_database_that_gets_the_extension_later_is_migrated_forward",
            ),
        ),
        Fault(
            "upkeep while it trades",
            "Old market values are dropped and made into bars in the session.",
            "No step locks the book or waits for it.",
            ("tests/db/ticks/test_upkeep.py::test_no_step_waits_for_the_book_nor_locks_it",),
        ),
        Fault(
            "slow or silent cache",
            "The cache answers late, or takes everything and answers nothing.",
            "A call has one deadline; no order waits for it, and the session ends as without it.",
            (
                "tests/cache/test_server_away.py::test_a_silent_server_costs_one_deadline_not_one_for_each_repeat",
                "tests/cache/test_manager_on_servers.py::"
                "test_a_server_that_swallows_everything_is_left_alone_after_five_waits",
                "tests/runtime/test_cached_sessions.py::"
                "test_a_cache_that_is_slow_or_hangs_changes_no_order_and_the_session_ends",
            ),
        ),
        Fault(
            "wiped or full cache",
            "The cache loses everything, or takes no more.",
            "A value that lacks is asked from its source; no order and no balance changes.",
            (
                "tests/cache/test_manager_on_servers.py::"
                "test_a_server_that_is_wiped_at_any_moment_gives_no_wrong_value",
                "tests/cache/test_redis_cache.py::test_a_server_that_is_full_refuses_a_write_as_a_whole",
                "tests/runtime/test_cached_sessions.py::"
                "test_a_replay_has_the_same_result_without_a_cache_with_it_and_with_one_that_loses_everything",
            ),
        ),
        Fault(
            "value without an end",
            "The writer is killed between a value and its lifetime.",
            "There is no such moment: both are written by one call.",
            ("tests/cache/test_redis_cache.py::test_no_key_is_without_a_lifetime_after_any_call",),
        ),
        Fault(
            "stop without a cache",
            "A stop comes while the cache is left alone.",
            "It works.",
            ("tests/runtime/test_cached_sessions.py::test_a_stop_works_while_the_cache_is_left_alone",),
        ),
        Fault(
            "spreadsheet that only a person can mend",
            "The spreadsheet is deleted, protected, full or no longer shared, its key is revoked.",
            "The session goes on and says what to do; nothing is lost, and rows follow when it is mended.",
            (
                "tests/db/sheets/test_refusals.py::test_what_only_a_person_can_change_is_said_and_nothing_is_lost",
                "tests/db/sheets/test_following.py::test_a_spreadsheet_that_cannot_be_opened_is_followed_later",
                "tests/sim/test_both_followed.py::"
                "test_a_spreadsheet_that_fails_changes_nothing_and_gets_everything_afterwards",
            ),
        ),
    ),
)
GROUPS = (SERVERS,)
