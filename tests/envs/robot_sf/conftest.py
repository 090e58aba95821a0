"""Skip tests that need the package robot_sf if it cannot be imported; the summary reports which is the case."""

from collections import Counter

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package

MARKED = pytest.StashKey[set[str]]()
MISSING = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("robot_sf")]
    config.stash[MARKED] = {item.nodeid for item in marked}
    if not marked:
        return
    try:
        package.load()
    except UserError as error:
        config.stash[MISSING] = str(error)
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="robot_sf cannot be imported"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    marked = config.stash.get(MARKED, set())
    if not marked:
        return
    counted = Counter(
        outcome
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.getreports(outcome)
        if report.nodeid in marked
    )
    counts = ", ".join(f"{number} {outcome}" for outcome, number in counted.items())
    if reason := config.stash.get(MISSING, ""):
        terminalreporter.write_line(f"robot_sf tests: not run ({counts}). {reason}")
    else:
        terminalreporter.write_line(f"robot_sf tests: run against {package.folder()} at {package.commit()}: {counts}")
