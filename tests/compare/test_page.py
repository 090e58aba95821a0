"""compare.html: content of the file, and behaviour in a browser."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from dreamer_exp.compare.metrics import thin
from dreamer_exp.compare.model import ComparisonRequest, Run
from dreamer_exp.compare.page import MAX_POINTS, points_per_curve, render_page, write_page
from dreamer_exp.compare.pipeline import compare
from tests.compare.browser import BROWSER, DRIVER, MISSING, Browser, chromium

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>{{data}} %{x} <b>&amp;</b>"


TEMPLATE_CODE = "{{ 7 * 7 }} {% for x in y %} {# comment #}"


def run(root: Path, ratio: Any, seed: int, rows: int = 50) -> Run:
    """Return a finished run whose return grows to `seed`, with three evaluations."""
    x = np.arange(1, rows + 1)
    columns = {
        "env_steps": 100.0 * x,
        "time/total_s": 10.0 * x,
        "episode_return_window": seed * x / rows,
        "loss/world_model": 50.0 / x,
    }
    evaluations = [
        {"policy": "dreamerv3", "env_steps": steps, "return_mean": seed + steps / 1000, "success_rate": steps / 5000}
        for steps in (0, 2500, 5000)
    ]
    return Run(
        root=root,
        name=root.name,
        state="finished",
        error=None,
        config={"algo.training_ratio": ratio, "run.seed": seed},
        provenance={},
        rows=columns,
        evaluations=tuple(evaluations),
        columns=tuple(columns),
    )


def page(folder: Path, *runs: Run) -> Path:
    path = folder / "out" / "compare.html"
    write_page(path, compare(runs, ComparisonRequest("episode_return_window")))
    return path


def four_runs(folder: Path) -> list[Run]:
    return [run(folder / f"ratio_{ratio}_seed_{seed}", ratio, seed) for ratio in (32, 64) for seed in (1, 2)]


def data_of(path: Path) -> dict[str, Any]:
    """Return the page's data; NaN and infinity, which JSON lacks, fail."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found
    tree: dict[str, Any] = json.loads(found[1], parse_constant=refuse)
    return tree


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


# ---------------------------------------------------------------- the file


def test_short_curve_is_not_thinned(tmp_path: Path) -> None:
    short = run(tmp_path / "a", 32, 7)
    curve = data_of(page(tmp_path, short))["runs"][0]["curves"]["episode_return_window"]
    assert np.array_equal(floats(curve["env_steps"]), short.rows["env_steps"])
    assert np.array_equal(floats(curve["wall"]), short.rows["time/total_s"])
    assert np.allclose(floats(curve["y"]), short.rows["episode_return_window"])


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    broken = run(tmp_path / "a", 32, 7)
    broken.rows["episode_return_window"][[3, 9]] = np.nan, 1e300  # more than float32 holds
    y = floats(data_of(page(tmp_path, broken))["runs"][0]["curves"]["episode_return_window"]["y"])
    assert len(y) == 49
    assert np.isfinite(y).all()


def test_thinning_keeps_the_extremes_and_the_ends() -> None:
    y = np.sin(np.arange(10_007) / 50)
    y[4321], y[8765] = 9.0, -9.0
    y[:3], y[-3:] = [0, -1, 1], [1, -1, 0]  # the ends are not extremes
    kept = thin(y, 500)
    assert {0, 4321, 8765, 10_006} <= set(kept.tolist())
    assert len(kept) <= 502
    assert (np.diff(kept) > 0).all()


def test_points_of_many_runs_are_limited() -> None:
    assert points_per_curve(10) == 500
    assert points_per_curve(12_000) * 12_000 <= MAX_POINTS


@pytest.mark.parametrize(("rows", "thinned"), [(50, False), (5000, True)])
def test_page_reports_thinned_curves(tmp_path: Path, rows: int, thinned: bool) -> None:
    text = page(tmp_path, run(tmp_path / "a", 32, 1, rows)).read_text(encoding="utf-8")
    assert ("are thinned to" in text) is thinned


def test_page_has_the_statistics_of_every_metric_that_it_offers(tmp_path: Path) -> None:
    path = page(tmp_path, *four_runs(tmp_path))
    names = [metric["name"] for metric in data_of(path)["metrics"]]
    html = path.read_text()
    assert len(names) > 1
    assert [html.count(f'data-metric="{name}"') for name in names] == [2] * len(names)
    assert html.count(" hidden>") == 2 * (len(names) - 1)


@pytest.mark.parametrize("name", ["plain", "with space & #hash", "100%", "ümlaut", "javascript:alert(1)", 'quote"s'])
def test_links_lead_from_the_folder_of_the_page_to_the_runs(tmp_path: Path, name: str) -> None:
    root = tmp_path / "runs" / name
    root.mkdir(parents=True)
    path = page(tmp_path, run(root, 32, 1))
    html, _, _ = path.read_text(encoding="utf-8").partition('<script type="application/json"')
    links = re.findall(r'<a href="([^"#]+)"', html)
    assert len(links) == 2  # in the legend and in the table
    assert {(path.parent / unquote(link)).resolve() for link in links} == {root.resolve()}
    assert all(link.startswith("../runs/") for link in links)


class Elements(HTMLParser):
    """The tags of a page in their order, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text += data


def with_text_everywhere(root: Path, text: str) -> Run:
    """Return a run with this text in every place that the page shows."""
    odd = replace(
        run(root, text, 1),
        name=text,
        state="failed",
        error=text,
        faults=(text,),
        columns=(text,),
        provenance={"git": {"commit": text}, "machine": {"cpu_name": text, "cpus": 1}},
    )
    odd.rows[text] = odd.rows["loss/world_model"]
    return odd


def elements_with(folder: Path, text: str) -> Elements:
    """Return the elements of a page of a run with this text, and of four plain runs."""
    found = compare([with_text_everywhere(folder / "a", text), *four_runs(folder)], ComparisonRequest(text))
    return Elements(render_page(found, folder))


@pytest.mark.parametrize("text", [HOSTILE, '\'><p onclick="x">', TEMPLATE_CODE])
def test_templates_escape_the_text_of_runs(tmp_path: Path, text: str) -> None:
    plain, odd = elements_with(tmp_path, "a plain text"), elements_with(tmp_path, text)
    assert odd.tags == plain.tags
    assert odd.text.count(text) == plain.text.count("a plain text") > 5


@pytest.mark.parametrize("code", [0xDCFF, 0xD800])
def test_lone_surrogates_are_shown_as_escapes(tmp_path: Path, code: int) -> None:
    path, text = tmp_path / "compare.html", f"lone {chr(code)}"
    write_page(path, compare([with_text_everywhere(tmp_path / "a", text)], ComparisonRequest(text)))
    assert ascii(text)[1:-1] in Elements(path.read_text(encoding="utf-8")).text
    assert data_of(path)["runs"][0]["name"] == text


# ------------------------------------------------------------- in a browser


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
    assert "no value yet" in table
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
