"""`medlab zoo` at the command line."""

import pytest

from medlab import cli, zoo
from medlab.zoo import making


def test_the_list_has_a_row_a_model_with_its_score(capsys):
    assert cli.main(["zoo", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "task", "data", "licence", "size", "score"]
    assert [row.split()[0] for row in rows] == zoo.names()
    assert all(" MB  " in row for row in rows)
    pneumonia = next(row for row in rows if row.startswith("cnn-pneumonia"))
    assert pneumonia.split()[1:4] == ["classification", "pneumoniamnist", "CC-BY-4.0"]
    assert " AUC 0." in pneumonia


def test_a_card_is_shown_as_text(capsys):
    assert cli.main(["zoo", "show", "unet2d-hippocampus"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("unet2d-hippocampus: Anterior and posterior hippocampus")
    for part in ("Not for clinical use", "CC-BY-SA-4.0", "Dice, anterior", "Known failures", "medlab zoo train"):
        assert part in shown


def test_an_unknown_model_is_a_wrong_request(capsys):
    assert cli.main(["zoo", "show", "unet2d-hipocampus"]) == 2
    assert "medlab: no model is named 'unet2d-hipocampus'; nearest: unet2d-hippocampus" in capsys.readouterr().err


@pytest.fixture
def made(monkeypatch):
    """What would have been trained: (name, folder, steps)."""
    calls = []

    def make(name, folder, *, steps, progress):
        calls.append((name, folder.as_posix(), steps))
        return f"card of {name}"

    monkeypatch.setattr(making, "make", make)
    return calls


def test_training_writes_into_build_unless_told_otherwise(made, capsys):
    assert cli.main(["zoo", "train", "cnn-breast"]) == 0
    assert cli.main(["zoo", "train", "cnn-breast", "--output", "elsewhere", "--steps", "5"]) == 0
    assert made == [("cnn-breast", "build/zoo/cnn-breast", None), ("cnn-breast", "elsewhere", 5)]
    assert capsys.readouterr().out.splitlines()[0] == "card of cnn-breast"


def test_training_refuses_no_steps(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["zoo", "train", "cnn-breast", "--steps", "many"])
    assert "invalid int value: 'many'" in capsys.readouterr().err
