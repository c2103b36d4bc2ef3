"""Tests that have no meaning through the second door, one by one, each with the reason. They are skipped there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

BUILT = "builds the native extension; nothing is built for Multicorn"
UPDATED = "is about versions of the extension cio_fdw; Multicorn has its own"
DOCTOR = "`cio-fdw doctor` examines servers of the native wrapper"
UP = "`cio-fdw up` makes a server of the native wrapper"
NO_FUNCTION = "there is no function that clears the cache: remove its files"
SETTING = "the setting cio_fdw.python chooses the interpreter; Multicorn is linked with its own"
AHEAD = "no row is read ahead: Multicorn takes them one by one"
COMMANDS = "the command line, which deals with the native extension alone"

NATIVE_ONLY: Mapping[str, Mapping[str, str]] = {
    "hosting/test_observers.py": {
        "test_set_up_leaves_no_key_in_the_statistics": "the package sets up the native wrapper alone",
    },
    "hosting/test_preload.py": {
        "test_settings_are_known_at_once": "nothing defines the settings cio_fdw.*: a scan reads them",
    },
    "hosting/test_replication.py": {
        "test_a_standby_clears_its_cache": NO_FUNCTION,
    },
    "install/test_pip.py": {
        "test_install_use_and_uninstall": "the native host is what is installed; test_install.py has this door's steps",
    },
    "install/test_upgrade.py": {
        "test_an_update_with_data_in_place_equals_a_fresh_installation": UPDATED,
        "test_a_library_older_than_the_database_is_told": UPDATED,
    },
    "native/test_ahead.py": {
        "test_what_does_not_fit_into_memory_waits_in_a_file": AHEAD,
        "test_a_file_is_of_one_round": AHEAD,
        "test_a_row_that_cannot_be_converted": "Multicorn converts a row when PostgreSQL asks for it",
    },
    "native/test_scarce.py": {
        "test_statements_end": "Multicorn starts Python, and ends the server where there is no memory for that",
    },
    "native/test_workers.py": {
        "test_a_worker_that_waits_exits_on_the_spot": "Multicorn leaves such an exit to Python, which ends the server",
    },
    "native/test_connections.py": {
        "test_idle_ones_are_ended_while_the_client_is_silent": "the timer is the host's",
    },
    "native/test_names.py": {
        "test_the_cache_of_a_server_of_another_wrapper": NO_FUNCTION,
        "test_the_cache_of_a_server_of_a_wrapper_with_another_name": NO_FUNCTION,
    },
    "native/test_python.py": {
        "test_a_path_without_interpreter_is_told_and_can_be_corrected": SETTING,
        "test_an_interpreter_without_the_package_is_told_and_can_be_corrected": SETTING,
    },
    "sync/test_snapshot.py": {
        "test_parents_without_rows_cost_requests_too[analyze]": "ANALYZE passes foreign tables of Multicorn over",
    },
    "server/test_build.py": {
        "test_builds_once_and_again_when_the_library_is_another": BUILT,
        "test_a_directory_that_is_missing_is_made": BUILT,
        "test_uninstall_removes_what_was_installed": BUILT,
        "test_changed_source_is_built_and_its_errors_are_shown": BUILT,
        "test_sources_are_not_built_in_place": BUILT,
        "test_space_in_the_build_directory_is_refused": BUILT,
        "test_missing_pg_config_is_named": BUILT,
        "test_what_cannot_be_built_for_is_named": BUILT,
    },
    "server/test_cli.py": {
        "test_version": COMMANDS,
        "test_wrong_calls_exit_2": COMMANDS,
        "test_simulate_without_its_extra_says_what_to_install": COMMANDS,
        "test_steps_pair_titles_with_statements": COMMANDS,
        "test_demo_runs_every_statement_and_shows_requests": "`make demo` shows the native wrapper",
        "test_installed_package_carries_the_extension": BUILT,
        "test_control_file_has_the_version_of_the_package": BUILT,
        "test_help_lists_every_target": COMMANDS,
        "test_unusable_python_is_named": COMMANDS,
        "test_runtime_with_a_space_is_refused": COMMANDS,
        "test_install_says_which_server_is_wanted": BUILT,
    },
    "server/test_doctor.py": {
        "test_all_is_well": DOCTOR,
        "test_a_refused_key_names_both_causes": DOCTOR,
        "test_an_api_out_of_reach": DOCTOR,
        "test_other_answers": DOCTOR,
        "test_the_clock": DOCTOR,
        "test_a_role_that_sees_little": DOCTOR,
        "test_a_key_file": DOCTOR,
        "test_a_state_directory_that_cannot_be_used": DOCTOR,
        "test_what_is_missing": DOCTOR,
        "test_no_database": DOCTOR,
    },
    "server/test_up.py": {
        "test_up_serves_until_the_signal": UP,
        "test_second_start_brings_server_and_key_up_to_date": UP,
        "test_key_is_in_no_log_and_on_no_command_line": UP,
        "test_refused_key_is_not_shown": UP,
        "test_unset_key_is_explained": UP,
        "test_server_that_ends_by_itself_is_reported": UP,
    },
}
"""By file and test, or one of its cases: why it is about the native door alone."""


def why_native_only(node: str) -> Optional[str]:
    """The reason for the test of this id, None when it runs on both doors."""
    path, _, name = node.removeprefix("tests/").partition("::")
    of = NATIVE_ONLY.get(path, {})
    return of.get(name) or of.get(name.partition("[")[0])
