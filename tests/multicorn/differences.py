"""What the suite expects and Multicorn2 does not give: strict expected failures, explained in docs/multicorn.md.

With --door multicorn the whole suite runs on the second door, but for what no door takes part in, which is deselected,
and for the tests of `native_only`, which are skipped, each with its reason.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.multicorn.native_only import why_native_only

DOORLESS = (
    "tests/unit/",
    "tests/simulator/",
    "tests/hosting/test_docker_files.py",
    "tests/install/test_needs.py",
    "tests/install/test_sdist.py",
    "tests/secrets/test_objects.py",
    "tests/server/test_cluster.py",
)
"""They read files and call Python, or servers without a door: on either door the same."""


class Difference(NamedTuple):
    """`of`: start of the test's id; `cases`: parts of the parameters that are meant, none for all."""

    of: str
    reason: str
    cases: tuple[str, ...] = ()
    ends_here: bool = False
    """The test would spoil others, or has no meaning: it is not run."""

    def is_of(self, item: pytest.Item) -> bool:
        name, _, case = item.nodeid.partition("[")
        return name == f"tests/{self.of}" and (not self.cases or any(part in f"[{case}" for part in self.cases))


NO_VALIDATOR = "options are checked when they are used"
NO_ANALYZE = "Multicorn has no ANALYZE"
NO_SHAPES = "Multicorn shows no condition on an expression of a column, and no OR"
NO_JSON = "EXPLAIN has every line under the one key Multicorn"
NO_CODE = "what Multicorn itself reports is XX000"
ALL_COLUMNS = "every column of the table is converted, so one that does not fit ends every query"
NO_FUNCTION = "there is no function that clears the cache: remove its files"
NO_FRACTION = "the fraction of a timestamp is not known, so the range is a second longer"
NO_LIMIT = "LIMIT is not the page size"
ASCII_NAMES = "IMPORT FOREIGN SCHEMA fails on names beyond ASCII where the database is not UTF-8"
NO_NAME = "the wrapper does not know the names of its table and server"

OWN_ERRORS = (
    "lookup failed for type",  # CURRENT_DATE and the like, right of a comparison
    "Error in python: ValueError\nDETAIL:  year ",  # dates outside the calendar of Python
    "Error in python: SystemError\nDETAIL:  <built-in method __enter__ of _thread.RLock",  # noticed by a lock of Python
    "unrecognized node type: 321",  # an outer join inside another, PostgreSQL 18
)
"""Messages, with XX000, by which Multicorn ends statements before or after it asks the wrapper."""

UNABLE_CONDITIONS = ["created > 'infinity'::date"]
"""Of tests/native/test_recognition.py: those that end so."""

DIFFERENCES = (
    Difference("sql/test_errors.py::test_refused_when_created", NO_VALIDATOR, ends_here=True),
    Difference("sql/test_errors.py::test_key_files_are_for_the_privileged", NO_VALIDATOR),
    Difference("sql/test_errors.py::test_a_wrong_table_is_refused_when_used", NO_CODE),
    Difference("sql/test_errors.py::test_writing_is_refused", NO_CODE),
    Difference("sql/test_errors.py::test_no_user_mapping", NO_NAME),
    Difference(
        "hosting/test_entrypoint.py::test_a_first_start_that_fails_leaves_nothing", NO_VALIDATOR, ends_here=True
    ),
    Difference("secrets/test_hosts.py::test_only_https_but_on_a_loopback_address", NO_VALIDATOR, ends_here=True),
    Difference("secrets/test_roles.py::test_without_a_mapping", NO_NAME),
    Difference("secrets/test_roles.py::test_usage_reads_no_files_and_calls_no_other_hosts", NO_VALIDATOR),
    Difference("secrets/test_roles.py::test_a_role_lets_the_server_read_no_other_file", NO_VALIDATOR),
    Difference("secrets/test_roles.py::test_the_owner_of_a_server_is_no_superuser", NO_VALIDATOR),
    Difference("native/test_encodings.py::test_a_message_names_table_and_column", NO_NAME, ("UTF8",)),
    Difference(
        "native/test_names.py::test_types_that_look_like_those_of_postgresql",
        "Multicorn tells the type below a domain, so a domain over the right type will do",
    ),
    Difference(
        "native/test_explain_everywhere.py::test_generic_plan_option", "a list that is not known yet is not shown"
    ),
    Difference(
        "native/test_explain_everywhere.py::test_prepared_statements",
        "EXPLAIN with an array that is not known yet ends the server",
        ("[bigint[] '{3,null}'-force_generic_plan]",),
        ends_here=True,
    ),
    Difference(
        "clients/test_samples.py::test_asks_for_the_times_of_the_filter",
        NO_SHAPES,
        (
            "metabase: previous 30 days, dates",
            "metabase: previous 30 days and today, on the date",
            "metabase: today",
            "metabase: field filter on the date",
            "metabase: a bar of a month",
            "metabase: a bar of a week from Sunday",
            "metabase: weeks from Sunday on",
            "metabase: converted time zone",
            "[tableau: a month]",
            "tableau: a date of a list",
            "power bi: a query that was given",
        ),
    ),
    Difference(
        "clients/test_samples.py::test_asks_for_the_times_of_the_filter",
        NO_FRACTION,
        (
            "tableau: relative dates",
            "tableau: a text dimension",
            "tableau: members of a number dimension",
            "tableau: members of a text dimension",
            "power bi: years and months as a text",
        ),
    ),
    Difference(
        "clients/test_samples.py::test_a_year_asks_for_nothing_after_it", NO_SHAPES, ("year of era", "tableau: a year")
    ),
    Difference("clients/test_samples.py::test_tableau_asks_twice_for_a_top_ten", NO_FRACTION),
    Difference(
        "native/test_encodings.py::test_a_message_names_table_and_column",
        ASCII_NAMES,
        ("LATIN1", "WIN1252", "SQL_ASCII"),
        ends_here=True,
    ),
    *(
        Difference(f"native/test_encodings.py::{name}", ASCII_NAMES, ("LATIN1", "WIN1252", "SQL_ASCII"), ends_here=True)
        for name in ("test_data_and_names", "test_a_character_that_the_database_lacks_names_the_column")
    ),
    *(
        Difference(
            f"hosting/test_preload.py::{name}",
            "with Multicorn in shared_preload_libraries the server does not start",
            ("[shared_preload_libraries]",),
            ends_here=True,
        )
        for name in (
            "test_tables_work_at_once",
            "test_the_postmaster_runs_no_python",
            "test_a_crash_of_a_backend_is_survived",
        )
    ),
    Difference("sql/test_errors.py::test_a_view_uses_the_mapping_of_its_owner", "the mapping is the reader's"),
    Difference("sql/test_errors.py::test_a_wrong_value_names_table_column_and_record", ALL_COLUMNS),
    Difference("sql/test_odd_answers.py::test_a_value_that_cannot_be_meant", ALL_COLUMNS),
    Difference("sql/test_pushdown_page.py::test_example", NO_SHAPES, ("[3]", "[4]", "[5]", "[9]")),
    Difference("sql/test_pushdown_page.py::test_example", NO_LIMIT, ("[21]",)),
    Difference("native/test_memory.py::test_no_growth", "Multicorn leaks with each error", ("planning errors",)),
    *(
        Difference(f"sql/test_analyze.py::{name}", NO_ANALYZE, ends_here=True)
        for name in (
            "test_every_table_can_be_analyzed",
            "test_analyze_says_nothing",
            "test_estimates_after_analyze_are_close",
            "test_expected_requests_follow_the_statistics",
            "test_analyze_of_a_table_without_rows",
            "test_a_fault_ends_analyze",
        )
    ),
    Difference("sql/test_explain.py::test_explain_analyze_counts_what_happened", NO_JSON),
    Difference("sql/test_explain.py::test_explain_analyze_tells_of_429s_and_waits", NO_JSON),
    Difference("sql/test_explain.py::test_rescans_are_added_up", NO_JSON),
    Difference("sql/test_joins.py::test_equal_outer_values_are_asked_for_once", "the planner puts no Memoize above"),
    Difference("sql/test_join_plans.py::test_the_plan", NO_JSON, ends_here=True),
    Difference("sql/test_join_plans.py::test_the_requests", "costs are rows times a width", ends_here=True),
    *(
        Difference(f"sql/test_estimates.py::{name}", NO_JSON, ends_here=True)
        for name in (
            "test_of_a_workspace_of_usual_size",
            "test_after_the_first_scan",
            "test_after_analyze",
            "test_what_was_read_in_part_tells_nothing",
            "test_a_state_directory_that_cannot_be_used",
        )
    ),
    Difference("sql/test_limit.py::test_limit_is_the_page_size", NO_LIMIT, ("limit 5", "first 3 rows")),
    Difference("sql/test_limit.py::test_explain_expects_no_more_requests_than_the_limit_needs", NO_LIMIT),
    Difference(
        "sql/test_pushdown.py::test_contradictions_ask_nothing",
        "a parameter that is null looks like IS NULL",
        ("(select null::bigint)",),
    ),
    Difference(
        "sql/test_pushdown_times.py::test_parameters_of_prepared_statements",
        "a parameter that is null looks like IS NULL",
        ("force_generic_plan",),
    ),
    Difference(
        "sql/test_pushdown_times.py::test_bounds_are_pushed",
        NO_FRACTION,
        ("created >= timestamp",),
    ),
    Difference("cache/test_reuse.py::test_a_table_of_its_own_mind", "the server beats a table's option of that name"),
    Difference("cache/test_reuse.py::test_clear", NO_FUNCTION),
    Difference("cache/test_reuse.py::test_clear_is_not_for_everybody", NO_FUNCTION),
    Difference("cache/test_reuse.py::test_analyze_asks_the_api", NO_ANALYZE),
    Difference("throttle/test_redis_servers.py::test_who_may_name_a_redis", NO_VALIDATOR),
    Difference("throttle/test_redis_servers.py::test_the_password_is_in_no_public_catalog", NO_VALIDATOR),
    Difference("throttle/test_seeing.py::test_who_sees_what", NO_VALIDATOR),
    Difference("throttle/test_server_wide.py::test_a_state_directory_of_ones_own", NO_VALIDATOR),
    Difference("sql/test_pushdown_times.py::test_current_date", "CURRENT_DATE fails inside Multicorn"),
    Difference("sql/test_pushdown.py::test_a_trusted_metric_is_pushed", NO_SHAPES, (" or ",)),
    Difference(
        "sql/test_shapes.py::test_a_day",
        NO_SHAPES,
        ("date", "date_trunc", "date_bin", "extract", "created + interval", "created - interval", "(created >="),
    ),
    *(
        Difference(f"sql/test_shapes.py::{name}", NO_SHAPES)
        for name in (
            "test_a_unit",
            "test_days_apart_are_asked_for_apart",
            "test_an_or_of_equalities_is_a_list",
            "test_what_no_instant_meets_asks_for_those_that_were_not_tried",
            "test_an_or_across_columns_narrows_each_of_them",
            "test_contradictory_shapes_ask_nothing",
            "test_days_of_a_clock_change_are_asked_for_generously",
            "test_values_of_parameters_and_sub_selects",
        )
    ),
)


def choose_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what differs on the second door, and takes out what is on both the same."""
    doorless = [item for item in items if item.nodeid.startswith(DOORLESS)]
    config.hook.pytest_deselected(items=doorless)
    items[:] = [item for item in items if not item.nodeid.startswith(DOORLESS)]
    for item in items:
        for difference in DIFFERENCES:
            if difference.is_of(item):
                mark = pytest.mark.skip(reason=difference.reason)
                if not difference.ends_here:
                    mark = pytest.mark.xfail(reason=difference.reason, strict=True)
                item.add_marker(mark)
        reason = why_native_only(item.nodeid)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
