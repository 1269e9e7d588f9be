"""Figures: what they draw, that axes are named, that colours stay apart."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from medlab import gpu, plots, train
from medlab.models.cnn import CNN
from medlab.train import History


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def history(**changes) -> History:
    falling = [2 / (1 + step / 10) for step in range(60)]
    return History(losses=falling, rates=[0.01] * 60, validation_steps=[20, 40, 60], validation_dice=[0.4, 0.8, 0.7],
                   best_step=40, best_dice=0.8, **changes)  # fmt: skip


def test_the_learning_curve_shows_loss_and_dice_with_named_axes():
    figure = plots.learning_curve(history())
    loss, dice = figure.axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("training step", "loss")
    assert (dice.get_xlabel(), dice.get_ylabel()) == ("training step", "mean Dice")
    assert list(loss.lines[0].get_xdata()) == list(range(1, 61))
    assert list(loss.lines[0].get_ydata()) == history().losses
    assert list(dice.lines[0].get_ydata()) == [0.4, 0.8, 0.7]
    assert dice.get_ylim() == (0, 1)


def test_the_smooth_line_is_the_mean_of_the_batches_around_it():
    smooth = plots.learning_curve(history()).axes[0].lines[1]
    assert smooth.get_xdata()[0] == 2
    assert smooth.get_ydata()[0] == pytest.approx(sum(history().losses[:3]) / 3)


def test_the_best_model_is_marked():
    mark = plots.learning_curve(history()).axes[1].lines[1]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (40, 0.8)


def test_without_validation_there_is_one_panel():
    assert len(plots.learning_curve(History(losses=[1.0], rates=[0.1])).axes) == 1


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="history must hold at least one step, got none"):
        plots.learning_curve(History())


def points(live: plots.LiveCurve) -> list[np.ndarray]:
    """What the widget's picture draws: (points, 2) in pixels a curve."""
    lines = re.findall(r'<polyline points="([^"]*)"', live._widget.value)
    return [np.array([pair.split(",") for pair in line.split()], float).reshape(-1, 2) for line in lines]


def clock(monkeypatch, ticks):
    monkeypatch.setattr(plots, "perf_counter", iter(ticks).__next__)


def test_the_live_curve_draws_every_round_where_it_belongs():
    live = plots.LiveCurve(4, "two curves")
    live.draw(training=[2.0, 1.0, 0.5, 0.0], validation=[1.0, 1.0, 1.0, 1.0])
    training, validation = points(live)
    assert "two curves" in live._widget.value
    assert "training 0.000" in live._widget.value
    assert np.diff(training[:, 0]) == pytest.approx(np.diff(training[:, 0])[0], abs=0.11)  # evenly spaced
    highest, lowest = training[0, 1], training[-1, 1]
    assert highest < lowest  # pixels are counted downwards
    assert validation[:, 1] == pytest.approx((highest + lowest) / 2)  # 1 is half of 2


def test_the_live_curve_of_a_training_shows_group_means_and_validations():
    live = plots.LiveCurve(300)
    live(History(losses=[1.0, 3.0] * 150, validation_steps=[150, 300], validation_dice=[0.5, 1.0]))
    loss, validation = points(live)
    assert len(loss) == 150
    assert np.ptp(loss[:, 1]) == 0  # each mean is 2
    assert validation[:, 0] == pytest.approx([(loss[-1, 0] + 34) / 2, loss[-1, 0]], abs=0.11)
    assert "validation 1.000" in live._widget.value


def test_a_value_that_is_not_finite_leaves_a_gap():
    live = plots.LiveCurve(3)
    live.draw(loss=[1.0, np.nan, np.inf])
    assert points(live)[0].shape == (1, 2)
    assert "loss inf" in live._widget.value


def test_drawing_takes_at_most_two_per_cent_of_the_time(monkeypatch):
    # Made at 0; drawn from 10 to 11; asked again at 40 (1 s is more than 2 % of 40), then at 60 (it is less).
    clock(monkeypatch, [0, 10, 11, 40, 60, 61])
    live = plots.LiveCurve(9)
    live.draw(loss=[4.0])
    live.draw(loss=[4.0, 2.0])
    assert len(points(live)[0]) == 1
    live.draw(loss=[4.0, 2.0, 1.0])
    assert len(points(live)[0]) == 3


def test_the_last_state_is_always_drawn(monkeypatch):
    clock(monkeypatch, [0, 10, 11, 12, 13])
    live = plots.LiveCurve(2)
    live.draw(loss=[4.0])
    live.draw(loss=[4.0, 2.0])
    assert len(points(live)[0]) == 2


def test_a_live_curve_needs_a_length():
    with pytest.raises(ValueError, match="length must be at least 1"):
        plots.LiveCurve(0)


def test_training_with_a_live_curve_ends_with_the_whole_curve():
    gpu.seed(0)
    data = gpu.Samples(torch.randn(8, 1, 8, 8), torch.arange(8) % 2)
    live = plots.LiveCurve(6)
    history = train.fit(
        CNN(1, 2, (4,)),
        data,
        steps=6,
        batch_size=4,
        loss=torch.nn.functional.cross_entropy,
        validate=lambda model: 0.5,
        validate_every=3,
        watch=live,
        progress=False,
    )
    loss, validation = points(live)
    assert len(loss) == 6
    assert len(validation) == 2
    assert f"loss {history.losses[-1]:.3f}" in live._widget.value
