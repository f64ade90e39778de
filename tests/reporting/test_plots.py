"""Plots show what they are given, and nothing that would mislead."""

from datetime import UTC, datetime

import numpy as np
import pytest

from aerocast.promotion.scoring import ALL, Score
from aerocast.reporting import plots


def test_curves_have_line_for_each_rmse_with_several_values() -> None:
    steps = [(1, {"rmse": 3.0, "validation_rmse": 4.0, "seconds": 1.0}), (2, {"rmse": 2.0, "seconds": 1.0})]
    (axis,) = plots.curves(steps, "gru").axes
    assert [(line.get_label(), list(line.get_ydata())) for line in axis.lines] == [("rmse", [3.0, 2.0])]


def test_curves_without_values_are_empty() -> None:
    (axis,) = plots.curves([], "persistence").axes
    assert list(axis.lines) == []


def test_skills_cut_off_bars_far_below_baseline() -> None:
    skills = {("gru", 1): 0.3, ("gru", 6): 0.1, ("persistence", 1): -3.0, ("persistence", 6): 0.0}
    scores = [
        Score(model, station, horizon, 100, 1.0, 1.0, 1.0, 1.0, skill, skill)
        for (model, horizon), skill in skills.items()
        for station in (ALL, "AAA")
    ]
    (axis,) = plots.skills(scores, (1, 6), "skill").axes
    bars = {group.get_label(): [bar.get_height() for bar in group] for group in axis.containers}
    assert bars["gru"] == pytest.approx([0.3, 0.1])
    assert bars["persistence"] == pytest.approx([-0.2, 0.0])


def test_contributions_are_numbers_by_group_and_horizon() -> None:
    sizes = {"temperature, recent": np.array([8.0, 5.25]), "windspeed": np.array([0.0, 0.125])}
    (axis,) = plots.contributions(sizes, (1, 6), "parts").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(sizes)
    assert [text.get_text() for text in axis.texts] == ["8", "5.25", "0", "0.125"]


def test_backtest_has_a_panel_for_each_horizon_and_a_line_for_each_model() -> None:
    errors = {1: {"linear": [1.0, 2.0], "persistence": [2.0, 3.0]}, 6: {"linear": [3.0, float("nan")]}}
    starts = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)]
    near, far = plots.backtest(errors, starts, "degF", "folds").axes
    assert {line.get_label(): list(line.get_ydata()) for line in near.lines} == errors[1]
    assert [line.get_linestyle() for line in near.lines] == ["-", "--"]
    assert [label.get_text() for label in far.get_xticklabels()] == ["2024-01-01", "2024-03-01"]
