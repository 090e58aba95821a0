"""The scales and labels of a page's charts."""

import numpy as np
import pytest

from dreamer_exp.compare.model import Run
from dreamer_exp.report.charts import BOTTOM, HEIGHT, LEFT, MAX_POINTS, RIGHT, TOP, WIDTH, charts_of, short_count
from tests.paths import CHECKOUT


def run_of(values: np.ndarray, column: str = "loss/world_model") -> Run:
    rows = {"env_steps": np.arange(1.0, len(values) + 1), "time/total_s": np.arange(1.0, len(values) + 1)}
    return Run(CHECKOUT, "run", "finished", None, {}, {}, {**rows, column: values}, ())


@pytest.mark.parametrize("values", [[5.0], [3.0, 3.0], [-1e99, 1e99], [1e-9, 1e9], [0.0, 1.0], [1e-300, 1.0]], ids=str)
def test_points_and_ticks_lie_inside_the_chart(values: list[float]) -> None:
    (chart,) = charts_of(run_of(np.array(values)))
    points = [tuple(map(float, point.split(","))) for point in chart.line.split()]

    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in points)
    assert all(TOP <= y <= HEIGHT - BOTTOM for y, _ in chart.y_ticks)
    assert 2 <= len(chart.y_ticks) <= 12


def test_long_curve_is_thinned_and_keeps_its_peak() -> None:
    values = np.zeros(100_000)
    values[12_345] = 7.0
    (chart,) = charts_of(run_of(values, "episode_return_window"))
    points = chart.line.split()

    assert len(points) <= MAX_POINTS + 2
    assert min(float(point.split(",")[1]) for point in points) == TOP


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (500, "500"), (20_000, "20k"), (1.5e6, "1.5M"), (2e9, "2G")])
def test_counts_of_an_axis_are_short(value: float, text: str) -> None:
    assert short_count(value) == text
