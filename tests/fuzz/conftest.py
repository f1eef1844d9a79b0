"""Adds up how many inputs were shown, over all workers."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = (report for group in ("passed", "failed") for report in terminalreporter.stats.get(group, []))
    shown = sum(count for report in reports for name, count in report.user_properties if name == "fuzzed")
    if shown:
        terminalreporter.write_line(f"fuzz: {shown:,} inputs were shown to decoders")
