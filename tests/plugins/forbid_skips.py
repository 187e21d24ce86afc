"""A pytest plugin: with `--forbid-skips` a run in which a test was skipped fails.

A skip on a developer's machine says that something is not installed there. Where everything is installed,
it says that something is no longer tested, and nobody reads the dots. Loaded by hand, since only a run that
wants to fail needs it: `python -m pytest -p tests.plugins.forbid_skips --forbid-skips`.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

_SKIPPED: Final = pytest.StashKey[dict[str, None]]()

_TOLD: Final = "skipped"
"""By what name a worker of pytest-xdist tells: only it knows of a module that skips itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--forbid-skips`."""
    parser.getgroup("skipping").addoption(
        "--forbid-skips", action="store_true", help="fail the run if a test was skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch for skips, if asked to."""
    if config.getoption("--forbid-skips"):
        config.pluginmanager.register(_Watch(config))


class _Watch:
    def __init__(self, config: pytest.Config) -> None:
        self._skipped = config.stash.setdefault(_SKIPPED, {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)  # a whole module may skip itself while it is imported

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):  # to pytest, an expected failure is a skip too
            self._skipped[report.nodeid] = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._skipped.update(dict.fromkeys(getattr(node, "workeroutput", {}).get(_TOLD, ())))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if told is not None:
            told[_TOLD] = list(self._skipped)
        if self._skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped:
            terminalreporter.section("skips are forbidden here", red=True)
            for nodeid in self._skipped:
                terminalreporter.line(f"SKIPPED {nodeid}")
