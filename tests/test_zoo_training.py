"""From a recipe to weights and a card."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import medlab
from medlab import gpu, zoo
from medlab.zoo import cards, making, scoring, training
from medlab.zoo.recipe import TRAINED, recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def small(name, **data):
    """A recipe with little to do: few patients, a narrow network, small batches."""
    wanted = recipe(name)
    narrow = {"widths": [4, 8]} if "widths" in wanted.model else {"hidden": 4}
    return replace(
        wanted,
        data=wanted.data | data,
        model=wanted.model | narrow,
        sampling=wanted.sampling
        | ({"patch": [16, 16, 16][: wanted.sampling["dims"]]} if "dims" in wanted.sampling else {}),
        schedule=wanted.schedule | {"batch_size": 4},
        prediction={},
    )


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


BRAINS = {"options": {"patients": 10, "seed": 0}}


@pytest.mark.parametrize(("name", "data"), [("unet2d-brain", BRAINS), ("lstm-ecg", {"cohort": "ecg"} | BRAINS)])
def test_the_same_recipe_gives_the_same_weights(name, data):
    wanted = small(name, train=["validation"], **data)  # one patient is enough
    first, again = (training.fit(wanted, steps=3, progress=False) for _ in range(2))
    other = training.fit(replace(wanted, seed=1), steps=3, progress=False)
    assert same(first.model, again.model)
    assert first.history.losses == again.history.losses
    assert not same(first.model, other.model)
    assert len(first.history.losses) == 3
    assert first.cpu_minutes > 0


def test_a_recipe_that_trains_on_the_validation_part_validates_nothing():
    wanted = small("unet2d-brain", **BRAINS)
    assert (
        training.fit(
            replace(wanted, data=wanted.data | {"train": ["validation"]}), steps=2, progress=False
        ).history.validation_steps
        == []
    )
    assert len(training.fit(wanted, steps=2, progress=False).history.validation_steps) == 1


def test_classes_weigh_in_the_loss_as_the_recipe_says():
    logits, truth = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    by_hand = (3 * np.log(2) + 1 * np.log(1 + np.exp(2))) / 4
    assert training._loss([3.0, 1.0], 0.0)(logits, truth).item() == pytest.approx(by_hand)
    assert training._loss(None, 0.0)(logits, truth).item() == pytest.approx((np.log(2) + np.log(1 + np.exp(2))) / 2)


# Scores ---------------------------------------------------------------------------------------------------------------


def test_an_interval_contains_the_mean_and_narrows_with_the_patients():
    values = np.random.default_rng(0).normal(0.8, 0.1, 400)
    few, many = scoring.interval((values[:25],), np.mean), scoring.interval((values,), np.mean)
    for entry, n in ((few, 25), (many, 400)):
        assert entry["low"] < entry["value"] < entry["high"]
        assert entry["patients"] == n
        half = 1.96 * values[:n].std() / np.sqrt(n)  # of a mean, by the normal distribution
        assert (entry["high"] - entry["low"]) / 2 == pytest.approx(half, rel=0.2)
    assert many["value"] == pytest.approx(values.mean(), abs=1e-4)


def test_the_patients_of_several_arrays_are_drawn_together():
    truth = np.tile([0, 1], 20)
    assert scoring.interval((truth, truth), lambda a, b: np.mean(a == b)) == pytest.approx(
        {"value": 1, "low": 1, "high": 1, "patients": 40}
    )


def test_one_patient_makes_no_interval():
    assert scoring.interval((np.array([0.5]),), np.mean) == {"value": 0.5, "low": None, "high": None, "patients": 1}


def test_two_pictures_of_a_patient_count_once():
    values = np.array([0.2, 0.4, 0.9, np.nan])
    entry = scoring._mean_over_patients(values, ["a", "a", "b", "c"])
    assert entry["value"] == pytest.approx((0.3 + 0.9) / 2)
    assert entry["patients"] == 2  # c has no value


def test_scores_of_beats_worked_out_by_hand():
    counts = np.array([[[8, 2], [1, 3]], [[0, 0], [0, 2]]])  # (records, true, called)
    assert scoring._share(counts, label=1, axis=2) == 5 / 6
    assert scoring._share(counts, label=1, axis=1) == 5 / 7
    assert scoring._share(np.zeros((1, 2, 2)), label=1, axis=1) == 0
    assert scoring._mean_f1(counts) == pytest.approx((16 / 19 + 10 / 13) / 2)


# The whole way --------------------------------------------------------------------------------------------------------


@pytest.fixture
def little_brain(monkeypatch, tmp_path_factory):
    """Four tiny patients in place of the built-in cohort, and a recipe with a narrow network."""
    from medlab import cohorts

    whole = medlab.load("brain", patients=10)

    def cut(case):
        def piece(read):
            return lambda: read()[20:52, 20:60, 8:24]

        return replace(case, read_image=piece(case.read_image), read_labels=piece(case.read_labels))

    few = replace(
        whole,
        train=[cut(whole.train[0])],
        validation=[cut(whole.validation[0])],
        test=[cut(case) for case in whole.test],
    )
    monkeypatch.setattr(cohorts, "load", lambda name, **options: few)
    text = (TRAINED / "unet2d-brain" / "recipe.toml").read_text()
    shelf = tmp_path_factory.mktemp("shelf")
    (shelf / "unet2d-brain").mkdir()
    (shelf / "unet2d-brain" / "recipe.toml").write_text(text.replace("widths = [16, 32, 64, 128]", "widths = [4, 8]"))
    monkeypatch.setattr("medlab.zoo.recipe.TRAINED", shelf)
    monkeypatch.setattr(making, "TRAINED", shelf)


def test_training_writes_recipe_weights_and_card_that_load_and_score_the_same(tmp_path, little_brain):
    card = making.make("unet2d-brain", tmp_path / "mine", steps=2, progress=False)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "card.json",
        "recipe.toml",
        "weights.safetensors",
    ]
    stated = json.loads((tmp_path / "mine" / "card.json").read_text())
    assert stated == card.measured
    assert stated["split"]["test"] == {"patients": 2, "cases": 2}
    assert stated["training"]["steps"] == 2
    assert set(stated["test"]["cases"]) == {"brain-0008", "brain-0009"}
    assert "2 patients" in str(card)


def test_a_training_that_is_stopped_by_hand_writes_no_card(tmp_path, little_brain, monkeypatch):
    def stop(self, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu.Resident, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        making.make("unet2d-brain", tmp_path / "mine", steps=2, progress=False)
    assert not (tmp_path / "mine" / "card.json").exists()


def test_training_never_touches_what_comes_with_medlab_nor_what_was_trained_before(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit", lambda *arguments, **options: pytest.fail("it trains"))
    before = (TRAINED / "unet2d-brain" / "weights.safetensors").read_bytes()
    with pytest.raises(
        ValueError, match="holds the weights that come with medlab: choose another folder with --output"
    ):
        making.make("unet2d-brain", TRAINED / "unet2d-brain")
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ValueError, match="already holds a trained model"):
        making.make("unet2d-brain", tmp_path)
    assert (TRAINED / "unet2d-brain" / "weights.safetensors").read_bytes() == before


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    wanted = small("unet2d-brain", **BRAINS)
    wanted = replace(
        wanted, data=wanted.data | {"train": ["train"]}, schedule=wanted.schedule | {"steps": 4, "validate_every": 2}
    )
    whole = training.fit(wanted, progress=False)
    half = tmp_path / "checkpoint.pt"
    real, calls = gpu.Resident.batch, []

    def stop_at_the_fourth(self, size):
        calls.append(size)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu.Resident, "batch", stop_at_the_fourth)
        assert training.fit(wanted, checkpoint=half, progress=False).history.interrupted
    assert same(training.fit(wanted, checkpoint=half, progress=False).model, whole.model)


def test_an_unknown_model_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="no model is named 'unet9d'"):
        making.make("unet9d", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert isinstance(cards.table(), list)
    assert zoo.names()
