"""Figures: what they draw, that axes are named, that colours stay apart."""

import matplotlib.pyplot as plt
import pytest

from medlab import plots
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
