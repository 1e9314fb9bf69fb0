# SPDX-License-Identifier: GPL-3.0-or-later
"""The last line of a test run reports what happened, and running nothing is no success."""

from __future__ import annotations

from support import junit_summary

GOOD = '<testsuites><testsuite><testcase name="a"/><testcase name="b"/></testsuite></testsuites>'
MIXED = (
    '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>'
    '<testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase></testsuite></testsuites>'
)
SKIPPED = '<testsuites><testsuite><testcase name="d"><skipped/></testcase></testsuite></testsuites>'


def run(directory, capsys, *suites: str, **files: str):
    """Return the exit status and the last line for JUnit files of these names and contents."""
    for name, content in files.items():
        (directory / f"{name}.xml").write_text(content, encoding="utf-8")
    status = junit_summary.main(str(directory), suites)
    return status, capsys.readouterr().out.splitlines()[-1]


def test_all_files_of_a_suite_are_added_up(tmp_path, capsys):
    assert run(tmp_path, capsys, "unit", "kernel", unit=GOOD, kernel=GOOD, kernel_newest=GOOD) == (
        0,
        "6 passed, 0 failed",
    )


def test_packets_are_added_up(tmp_path, capsys):
    told = (
        '<testsuites><testsuite><testcase name="a"><properties><property name="packets" '
        'value="40"/></properties></testcase></testsuite></testsuites>'
    )
    (tmp_path / "kernel.xml").write_text(told, encoding="utf-8")
    (tmp_path / "kernel-2.xml").write_text(told, encoding="utf-8")
    assert junit_summary.main(str(tmp_path), ["kernel"]) == 0
    assert "80 packets arrived where they should, or nowhere" in capsys.readouterr().out


def test_failures_and_errors_are_failures(tmp_path, capsys):
    assert run(tmp_path, capsys, "unit", unit=MIXED) == (1, "1 passed, 2 failed")


def test_suite_that_ran_nothing_is_a_failure(tmp_path, capsys):
    assert run(tmp_path, capsys, "unit", "docs", unit=GOOD) == (1, "2 passed, 1 failed")


def test_suite_that_skipped_everything_ran_nothing(tmp_path, capsys):
    assert run(tmp_path, capsys, "unit", unit=SKIPPED) == (1, "0 passed, 1 failed")
