import numpy as np
import pytest

from medlab import check


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.8, 0.75, 1.0, "Dice: within [0.75, 1.00]\n"),
        (0.75, 0.75, 1.0, "Dice: within [0.75, 1.00]\n"),
        (np.float32(1.0), 0.5, 1.0, "Dice: within [0.50, 1.00]\n"),
        (0.002, 0.001, 0.0125, "Dice: within [0.001, 0.0125]\n"),
        (3, 2, 10, "Dice: within [2, 10]\n"),
    ],
)
def test_a_value_in_range_prints_the_range_and_not_the_value(value, low, high, verdict, capsys):
    check.between("Dice", value, low, high)
    assert capsys.readouterr().out == verdict


@pytest.mark.parametrize(("value", "digits"), [(0.7, "0.7"), (1.2345678, "1.23457"), (float("nan"), "nan")])
def test_a_value_outside_raises_and_prints_nothing(value, digits, capsys):
    with pytest.raises(AssertionError, match=rf"^Dice: expected within \[0\.75, 1\.00\], got {digits}$"):
        check.between("Dice", value, 0.75, 1.0)
    assert capsys.readouterr().out == ""


def test_a_range_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match=r"low must be at most high, got low=1\.0 and high=0\.5"):
        check.between("Dice", 0.7, 1.0, 0.5)
