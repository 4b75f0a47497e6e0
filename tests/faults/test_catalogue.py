"""The table of faults and the tests keep in step."""

import ast
import re
from importlib.resources import files
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LETTERS = "NPIDSX"
LOST = "faults/test_lost_ledger.py::test_"
HOST = "embedded/test_server.py::test_a_request_for_another_host_is_refused"
KEYS = "drawing/test_next_step.py::test_key"
ELSEWHERE = {
    "I10": ["scores/test_every_score.py", "risk/test_curve.py"],
    "D3": ["drawing/test_attempts.py::test_a_damaged_sample_is_fetched_again_by_its_job"],
    "D7": ["drawing/test_ledger_file.py::test_network_disks_are_refused"],
    "D8": ["drawing/test_ledger_file.py::test_files_that_are_no_ledger_stay_as_they_are", "drawing/test_damage.py"],
    "D9": ["drawing/test_attempts.py::test_a_damaged_sample_that_cannot_be_fetched_again_is_reported"],
    **{fault: [f"{KEYS}_depends_on_content_seed_and_procedure_and_not_on_the_name"] for fault in ("D10", "D11", "X6")},
    "D12": ["drawing/test_crash.py::test_kill"],
    "D16": [
        f"{LOST}what_was_accepted_while_another_program_",
        f"{LOST}jobs_whose_row_cannot_be_written_are_in_the_inbox",
    ],
    "D17": [
        f"{LOST}a_ledger_that_is_gone_under_a_run_stops_it",
        f"{LOST}a_folder_that_is_removed_under_a_run_stops_it",
    ],
    "S4": ["test_calibration.py"],
    "S9": [HOST],
    "S10": ["test_plugins.py"],
    "S11": ["cli/test_keys.py"],
    "S12": ["drawing/test_transport.py::test_a_key_does_not_travel_unencrypted_to_another_machine"],
    "S13": ["drawing/test_transport.py::test_a_proxy_is_not_asked_for_addresses_that_no_link_may_have"],
    "S14": ["cli/test_settings.py::test_a_file_of_another_user_is_not_believed"],
    "S15": ["cli/test_console.py::test_no_name_reaches_a_terminal_as_it_is"],
    "S16": ["cli/test_keys.py::test_a_key_that_comes_back_in_another_form_is_kept_and_shown_nowhere"],
    "S17": [HOST, "embedded/test_server.py::test_connections_are_bounded_and_come_free_again"],
    "S18": [
        "cli/test_main.py::test_a_limit_on_memory_ends_in_one_sentence",
        "test_files.py::test_a_set_of_files_is_written_whole_or_not_at_all",
    ],
    "S19": ["cli/test_signing.py", "test_signature.py::test_odd_keys_are_refused"],
    "S20": ["watching/test_log.py", "cli/test_watch_signed.py"],
}
"""Faults whose tests do not have their numbers, with those tests or their files."""


def table() -> dict[str, str]:
    text = files("blackbox_conformal").joinpath("docs/faults.md").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^\| ([A-Z]\d+) \|.*$", text, re.MULTILINE)}


def numbered() -> dict[str, list[str]]:
    """Fault → its tests in this folder, by the numbers in their names."""
    found: dict[str, list[str]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for letter, number in re.findall(r"(?<=_)([npidsx])(\d\d)(?=_)", node.name):
                    found.setdefault(f"{letter.upper()}{int(number)}", []).append(node.name)
    return found


def test_every_fault_has_a_row():
    rows = list(table())
    counts = {letter: sum(row.startswith(letter) for row in rows) for letter in LETTERS}
    assert min(counts.values()) > 0
    assert rows == [f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)]
    assert sorted({*numbered(), *ELSEWHERE} - set(rows)) == []


def test_every_row_has_a_test_or_says_why_it_needs_none():
    tested = numbered()
    for fault, row in table().items():
        assert fault in tested or fault in ELSEWHERE or "does not apply" in row, fault


def test_the_tests_elsewhere_exist():
    for fault, names in ELSEWHERE.items():
        for name in names:
            path, _, function = name.partition("::")
            assert f"def {function}" in (TESTS / path).read_text(encoding="utf-8"), (fault, name)
