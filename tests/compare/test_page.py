"""compare.html: content of the file."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from dreamer_exp.compare.metrics import thin
from dreamer_exp.compare.model import ComparisonRequest
from dreamer_exp.compare.page import MAX_POINTS, points_per_curve, render_page, write_page
from dreamer_exp.compare.pipeline import compare
from tests.compare.pages import HOSTILE, four_runs, page, run, with_text_everywhere

TEMPLATE_CODE = "{{ 7 * 7 }} {% for x in y %} {# comment #}"


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
