"""compare.html: behaviour in a browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dreamer_exp.compare.model import ComparisonRequest, Run
from dreamer_exp.compare.page import write_page
from dreamer_exp.compare.pipeline import compare
from tests.compare.browser import BROWSER, DRIVER, MISSING, Browser, chromium
from tests.compare.pages import HOSTILE, four_runs, page, run, with_text_everywhere


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("selenium", reason="selenium is not installed")
    if not BROWSER or not DRIVER:
        pytest.skip(MISSING)
    with chromium() as window:
        yield window


def drawn(browser: Browser) -> list[str]:
    """Return the names of the drawn lines, without intervals."""
    names: list[str] = browser.evaluate("document.getElementById('plot').data.map(t => t.name).filter(n => n)")
    assert browser.evaluate("document.querySelectorAll('#plot .scatterlayer .trace').length") >= len(names)
    return names


def title(browser: Browser, axis: str) -> str:
    return str(browser.evaluate(f"document.getElementById('plot').layout.{axis}axis.title.text"))


def test_page_loads_nothing_and_logs_nothing(tmp_path: Path, browser: Browser) -> None:
    path = page(tmp_path, *four_runs(tmp_path))
    browser.open(path)
    assert len(drawn(browser)) == 6  # four runs, two groups
    for control in ("#metric option:last-child", "input[value=wall]", "#none", "#all"):
        browser.all(control)[0].click()
    assert browser.requests() == [path.resolve().as_uri()]
    assert browser.complaints() == []


def test_run_is_toggled_by_its_checkbox(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    before = drawn(browser)
    browser.all(".legend summary")[0].click()
    browser.all("input[data-run='1']")[0].click()
    assert [name for name in before if name not in drawn(browser)] == ["ratio_32_seed_2"]
    browser.all("input[data-run='1']")[0].click()
    assert drawn(browser) == before


def test_group_is_toggled_with_its_runs(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    browser.all("input[data-group='0']")[0].click()
    assert drawn(browser) == ["ratio_64_seed_1", "ratio_64_seed_2", "training_ratio=64"]


def test_checkbox_is_toggled_by_keyboard(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    box = browser.all("input[data-group='1']")[0]
    browser.all("#singles")[0].send_keys("\ue004", "\ue004", "\ue004")  # Tab: first group, its runs, second group
    assert browser.evaluate("document.activeElement.dataset.group") == "1"
    browser.driver.switch_to.active_element.send_keys(" ")
    assert not box.is_selected()
    assert "training_ratio=64" not in drawn(browser)


def test_metric_and_axis_are_selected(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    assert (title(browser, "x"), title(browser, "y")) == ("environment steps", "return, last 100 training episodes")
    browser.all("#metric option")[1].click()
    browser.all("input[value=wall]")[0].click()
    assert (title(browser, "x"), title(browser, "y")) == ("wall time (min)", "success rate, evaluation")
    assert browser.evaluate("Math.max(...document.getElementById('plot').data.at(-1).x)") == pytest.approx(500 / 60)


def shown(browser: Browser, selector: str) -> list[str]:
    """Return the texts of the visible elements."""
    texts = f"[...document.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.innerText)"
    return list(browser.evaluate(texts))


def of_algorithms(folder: Path) -> list[Run]:
    """Return two seeds of two algorithms; the second takes half of the env steps, ten times the time each."""
    runs = [
        run(folder / f"{name}_{seed}", 32, seed, rows) for name, rows in (("ppo", 50), ("sac", 25)) for seed in (1, 2)
    ]
    for one in runs:
        one.config["algo.name"] = one.name.partition("_")[0]
        one.rows["time/total_s"] *= 10 if one.name.startswith("sac") else 1
    return runs


def cells(browser: Browser, name: str) -> list[list[str]]:
    """Return the texts of a table's cells, by row, with spaces in the place of line breaks."""
    selector = f"div:not([hidden]) > [aria-label='{name}'] tr"
    rows = f"[...document.querySelectorAll({selector!r})]"
    texts: list[list[str]] = browser.evaluate(f"{rows}.map(row => [...row.cells].map(cell => cell.innerText))")
    return [[" ".join(text.split()) for text in row] for row in texts]


def test_values_at_equal_cost_are_a_table(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *of_algorithms(tmp_path)))
    assert cells(browser, "Values at equal cost") == [
        ["after", "group", "value", "P (best is better)"],
        ["2,500 env steps", "sac", "1.5 1 to 2", "best"],
        ["ppo", "0.75 0.5 to 1", "0.88 0.23 to 1.00 not decided"],
        ["8 min", "ppo", "1.5 1 to 2", "best"],
        ["sac", "0.3 0.2 to 0.4", "1.00 0.30 to 1.00 not decided"],
    ]


def test_cost_of_a_level_is_a_table(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *of_algorithms(tmp_path)))
    head, *rows = cells(browser, "Cost of a level")
    assert head == ["group", "reached", "env steps", "wall time"]
    assert [row[:2] for row in rows] == [["ppo", "1 of 2"], ["sac", "1 of 2"]]


def test_a_group_without_a_value_at_equal_cost_is_in_the_table(tmp_path: Path, browser: Browser) -> None:
    runs = of_algorithms(tmp_path)
    path = tmp_path / "compare.html"
    write_page(path, compare(runs, ComparisonRequest("evaluation/success_rate")))
    browser.open(path)
    (table,) = shown(browser, "[aria-label='Values at equal cost'] table")
    assert "no value" in table
    assert "first after 42 min (2 of 2 runs)" in table


def test_runs_of_one_algorithm_have_no_section_of_equal_cost(tmp_path: Path) -> None:
    assert "At equal cost" not in page(tmp_path, *four_runs(tmp_path)).read_text(encoding="utf-8")


@pytest.mark.parametrize("event", ["input", "change"])
def test_statistics_and_titles_follow_the_metric(tmp_path: Path, browser: Browser, event: str) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    (before,) = shown(browser, "[aria-label='Statistics by group']")
    browser.evaluate(
        "(s => { s.selectedIndex = 1; s.dispatchEvent(new Event(" + repr(event) + ", {bubbles: true})); })"
        "(document.getElementById('metric'))"
    )
    (after,) = shown(browser, "[aria-label='Statistics by group']")
    assert before != after
    assert shown(browser, "h1") == ["Comparison: success rate, evaluation"]
    assert browser.evaluate("document.title") == "Comparison: success rate, evaluation"


def test_smoothing_is_the_mean_over_a_window(tmp_path: Path, browser: Browser) -> None:
    zigzag = run(tmp_path / "a", 32, 1)
    zigzag.rows["episode_return_window"][:] = np.resize([0.0, 1.0], 50)
    browser.open(page(tmp_path, zigzag))
    browser.evaluate(
        "(s => { s.value = 12; s.dispatchEvent(new Event('input', {bubbles: true})); })"
        "(document.getElementById('smoothing'))"
    )
    assert browser.all("#smoothed")[0].text == "mean over 600 steps"  # 12 % of 5,000: seven rows
    y = browser.evaluate("document.getElementById('plot').data.find(t => t.name === 'a').y")
    assert y[10] == pytest.approx(4 / 7)  # 1 0 1 [0] 1 0 1


def test_text_of_runs_is_shown_and_never_executed(tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "compare.html"
    hostile = with_text_everywhere(tmp_path / "a", HOSTILE)
    write_page(path, compare([hostile, *four_runs(tmp_path)], ComparisonRequest(HOSTILE)))
    browser.open(path)
    assert HOSTILE in drawn(browser)
    browser.evaluate(
        "Plotly.Fx.hover('plot', [{curveNumber: document.getElementById('plot').data.length - 1, pointNumber: 5}])"
    )
    assert HOSTILE in browser.all("#plot .hoverlayer")[0].text
    assert HOSTILE in browser.all("main")[0].text
    assert browser.evaluate("window.hacked") is None
    assert browser.evaluate("document.images.length") == 0
    assert browser.complaints() == []


def test_runs_without_rows_make_a_page(tmp_path: Path, browser: Browser) -> None:
    rows = {"env_steps": np.array([]), "time/total_s": np.array([])}
    empty = Run(tmp_path / "a", "a", "failed", "OSError: no space", {}, {}, rows, (), ("status.json: missing",))
    path = tmp_path / "compare.html"
    write_page(path, compare([empty], ComparisonRequest()))
    browser.open(path)
    browser.all("input[value=wall]")[0].click()
    text = browser.all("main")[0].text
    assert all(words in text for words in ("OSError: no space", "a: status.json: missing", "No run has rows yet."))
    assert browser.complaints() == []


def test_no_button_sends_the_data_away(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    buttons = browser.evaluate("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert "Download plot as a PNG" in buttons
    assert [name for name in buttons if re.search("share|cloud|send|edit", name, re.IGNORECASE)] == []


def test_browser_refuses_requests_of_scripts(tmp_path: Path, browser: Browser) -> None:
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    request = "fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')"
    assert browser.evaluate(request) == "refused"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


@pytest.mark.parametrize("width", [1280, 800])
def test_page_fits_the_window(tmp_path: Path, browser: Browser, width: int) -> None:
    long = [run(tmp_path / f"{'a_rather_long_name_' * 4}{seed}", f"{'x' * 60}", seed) for seed in (1, 2)]
    browser.open(page(tmp_path, *four_runs(tmp_path), *long), width)
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.evaluate("document.querySelector('#plot .main-svg').getBoundingClientRect().width") > width / 2


def test_page_is_dark_if_the_user_prefers_dark(tmp_path: Path, browser: Browser) -> None:
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    browser.open(page(tmp_path, *four_runs(tmp_path)))
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert browser.evaluate("document.getElementById('plot').layout.paper_bgcolor") == "#14171b"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
