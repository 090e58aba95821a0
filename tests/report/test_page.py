"""report/index.html of a run: its content, hostile files, and a browser."""

import json
import os
from pathlib import Path

import pytest

from dreamer_exp.formatting import now_utc
from dreamer_exp.report.page import render_page, try_write_page, write_page
from dreamer_exp.report.read import read_page
from tests.compare.browser import BROWSER, DRIVER, MISSING, chromium
from tests.compare.folders import config, evaluation, write_rows, write_run

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>{{ 7 * 7 }} \u202e\x1b[31m"
STEM = "evaluation_crowd_nav_2026-11-30T041644+0000_263d"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)  # PNG

LOADED = """
const images = [...document.images], done = arguments[arguments.length - 1];
images.forEach(one => one.loading = "eager");
Promise.allSettled(images.map(one => one.decode())).then(() => done(images.map(one => one.naturalWidth)));
"""  # their widths, once all are loaded or refused


def with_report(root: Path) -> Path:
    """Write a run with a baseline, an imagination, and the report of an evaluation with paths and a film."""
    write_run(root)
    write_rows(root / "evaluation.jsonl", [evaluation(0, 0), evaluation(0, 15, "orca"), evaluation(200, 10)])
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "latest").write_text("000000200")
    report = root / "report"
    report.mkdir()
    (report / "imagination.json").write_text(json.dumps({"verdict": "horizon_H = 15 is earned"}))
    rows = [{**evaluation(200, 12), "outcomes": episodes(12)}, evaluation(0, 16, "orca")]
    tree = {"checkpoint": "000000200", "experiment": {"env": {"name": "crowd_nav"}}, "evaluations": rows}
    (report / f"{STEM}.json").write_text(json.dumps(tree))
    for name in ("imagination.png", f"{STEM}_paths.png", f"{STEM}_seed7_success.gif"):
        (report / name).write_bytes(PIXEL)
    return root


def episodes(successes: int) -> list[dict[str, str]]:
    """Return twenty episodes, half of them in a doorway."""
    return [
        {"scenario": "doorway" if place % 2 else "open", "outcome": "success" if place < successes else "timeout"}
        for place in range(20)
    ]


def html_of(root: Path) -> str:
    return render_page(read_page(root))


def test_page_shows_curves_rates_scenarios_pictures_and_commands(tmp_path: Path) -> None:
    html = html_of(with_report(tmp_path / "run"))

    assert "<figcaption>success rate</figcaption>" in html
    assert "<figcaption>world-model loss</figcaption>" in html
    assert "50.0 %<br><small>29.9 to 70.1 %</small>" in html  # Wilson's interval of 10 of 20
    assert "orca: 75.0 %" in html
    assert "6 of 10" in html
    assert "horizon_H = 15 is earned." in html
    assert f'src="{STEM.replace("+", "%2B")}_seed7_success.gif"' in html
    assert f"evaluate {tmp_path}/run episodes=100 video=3" in html
    assert "<dt>algo.training_ratio</dt><dd>32</dd>" in html


def test_failed_run_without_rows_has_a_page_that_names_the_error(tmp_path: Path) -> None:
    error = {"type": "OSError", "message": "no space"}
    root = write_run(tmp_path / "run", returns=(), successes=None, status={"state": "failed", "error": error})
    (root / "error.txt").write_text("Traceback: the last line")
    html = html_of(root)

    assert "<strong>OSError: no space</strong>" in html
    assert "Traceback: the last line" in html
    assert "The run has no rows" in html
    assert "What to do next" not in html  # without a checkpoint


def test_interrupted_run_is_resumed_first(tmp_path: Path) -> None:
    root = with_report(tmp_path / "run")
    status = {"state": "interrupted", "updated_utc": now_utc()}
    (root / "status.json").write_text(json.dumps(status))
    html = html_of(root)

    assert "<dt>Resume</dt>" in html
    assert "Train twice as long" not in html


def test_run_that_reached_its_goal_names_it_and_is_trained_further_without(tmp_path: Path) -> None:
    root = with_report(tmp_path / "run")
    reason = "run.stop_when={success_rate: 0.9}"
    (root / "status.json").write_text(json.dumps({"state": "finished", "end_reason": reason}))
    html = html_of(root)

    assert f"The run reached its limit or goal: {reason}." in html
    assert "run.stop_when.success_rate=null" in html


def test_links_in_report_are_not_followed(tmp_path: Path) -> None:
    root = with_report(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(PIXEL)
    (root / "report" / f"{STEM}_stolen.png").symlink_to(tmp_path / "secret.png")
    assert "stolen" not in html_of(root)


def test_page_is_not_written_through_a_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_run(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (root / "report").symlink_to(tmp_path / "elsewhere")

    assert try_write_page(root) is None
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert "report/index.html could not be written" in caplog.text


@pytest.mark.parametrize("content", ["[]", "{", '{"env_steps": 1, "success_rate_window": "x", "loss/critic": [1]}\n'])
@pytest.mark.parametrize("name", ["result.jsonl", "evaluation.jsonl", "status.json", f"report/{STEM}.json"])
def test_broken_file_costs_only_its_part_of_the_page(tmp_path: Path, name: str, content: str) -> None:
    root = with_report(tmp_path / "run")
    (root / name).write_text(content)
    assert "<h2" in html_of(root)


def test_huge_values_and_empty_scenarios_make_a_page(tmp_path: Path) -> None:
    root = with_report(tmp_path / "run")
    huge = {"policy": "dreamerv3", "env_steps": 2**53, "success_rate": 1e300, "episodes": -1, "return_mean": 1e99}
    odd = {"policy": "dreamerv3", "env_steps": 1, "success_rate": True, "episodes": 0.5, "outcomes": [{}, None]}
    write_rows(root / "evaluation.jsonl", [huge, odd])
    assert "<h2" in html_of(root)


def hostile_run(root: Path) -> Path:
    """Write a run with markup in every name and value."""
    error = {"type": HOSTILE, "message": HOSTILE}
    write_run(root, config(1, model_size=HOSTILE), status={"state": "failed", "error": error})
    (root / "provenance.json").write_text(json.dumps({"command_line": ["", HOSTILE], "started_utc": HOSTILE}))
    (root / "error.txt").write_text(HOSTILE)
    write_rows(root / "evaluation.jsonl", [evaluation(100, 3), evaluation(0, 3, HOSTILE)])
    report = root / "report"
    report.mkdir()
    (report / "imagination.json").write_text(json.dumps({"verdict": HOSTILE}))
    rows = [{**evaluation(100, 3, HOSTILE), "outcomes": [{"scenario": HOSTILE, "outcome": "success"}] * 2}]
    rows[0]["outcomes"].append({"scenario": "b", "outcome": HOSTILE})
    tree = {"checkpoint": HOSTILE, "experiment": {"env": {"name": HOSTILE}}, "evaluations": rows}
    (report / f"{STEM}.json").write_text(json.dumps(tree))
    (report / f"{STEM}_\"><script>x'<b>.gif").write_bytes(PIXEL)
    return root


def test_a_browser_loads_the_pictures_and_nothing_else_and_shows_hostile_text_as_text(tmp_path: Path) -> None:
    if not BROWSER or not DRIVER:
        pytest.skip(MISSING)
    good = write_page(with_report(tmp_path / "good"))
    bad = write_page(hostile_run(tmp_path / f"bad {os.fsdecode(b'%41<b>')}"))
    with chromium() as browser:
        for width in (1280, 400):
            browser.open(good, width)
            assert browser.driver.execute_async_script(LOADED) == [1, 1, 1]
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert {url.rpartition("/")[0] for url in browser.requests()} == {good.parent.as_uri()}
        assert browser.complaints() == []

        browser.open(bad)
        assert browser.evaluate("window.hacked") is None
        assert browser.evaluate("document.scripts.length") == 0
        assert browser.evaluate("document.images.length") == 1  # the film, whatever its name
        assert "<script>window.hacked = 1</script>" in browser.all("main")[0].text
        assert browser.complaints() == []
