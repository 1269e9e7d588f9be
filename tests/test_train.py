"""The training loop: that it learns, keeps the best, goes on where it stopped, and stops where it must."""

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn
from torch.testing import assert_close

from medlab import gpu
from medlab.augment import Augment
from medlab.gpu import Resident
from medlab.losses import cross_entropy_dice
from medlab.models.unet import UNet
from medlab.train import History, fit

pytestmark = pytest.mark.usefixtures("one_thread")


class Blob:
    """A bright block in noise; the block is the label."""

    def __init__(self, index: int) -> None:
        self.name = f"blob-{index}"
        source = np.random.default_rng(index)
        self.truth = np.zeros((6, 16, 20), np.uint8)
        y, x = source.integers(1, 8, size=2)
        self.truth[1:5, y : y + 6, x : x + 8] = 1
        self.volume = (self.truth * 3 + source.normal(size=self.truth.shape)).astype(np.float32)

    def image(self) -> sitk.Image:
        return sitk.GetImageFromArray(self.volume)

    def labels(self) -> sitk.Image:
        return sitk.GetImageFromArray(self.truth)


def start(seed: int = 0) -> tuple[UNet, Resident]:
    gpu.seed(seed)
    data = Resident([Blob(i) for i in range(4)], multiple=4, augment=Augment(rotation_degrees=10))
    return UNet(data.channels, data.classes, (4, 8)), data


def run(model: nn.Module, data: Resident, **options) -> History:
    return fit(model, data, **{"steps": 12, "batch_size": 6, "peak_rate": 2e-2, "progress": False, **options})


def test_training_lowers_the_loss():
    model, data = start()
    history = run(model, data, steps=40)
    assert len(history.losses) == len(history.rates) == 40
    assert np.mean(history.losses[-5:]) < 0.5 * np.mean(history.losses[:5])
    assert not model.training
    assert history.best_step == 40
    assert math.isnan(history.best_dice)
    assert not history.interrupted


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_to_nothing():
    history = run(*start(), steps=20, peak_rate=0.01)
    assert int(np.argmax(history.rates)) == 3
    assert max(history.rates) == pytest.approx(0.01)
    assert history.rates[-1] < 1e-6


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_handful_of_steps_has_a_schedule_too(steps):
    history = run(*start(), steps=steps, peak_rate=0.01)
    assert len(history.rates) == steps
    assert history.rates[-1] < 1e-6
    assert max(history.rates) == pytest.approx(0.01) or steps < 3


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = (run(*start(seed)).losses for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_model_ends_with_the_weights_that_validated_best():
    model, data = start()
    scores = iter([0.2, 0.8, 0.5])
    seen = []

    def validate(network: nn.Module) -> float:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(scores)

    history = run(model, data, steps=10, validate=validate, validate_every=4)
    assert history.validation_steps == [4, 8, 10]
    assert history.validation_dice == [0.2, 0.8, 0.5]
    assert (history.best_step, history.best_dice) == (8, 0.8)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, seen[1][name])


def test_validation_does_not_change_what_training_computes():
    plain = run(*start()).losses
    model, data = start()

    def validate(network: nn.Module) -> float:
        network.eval()
        return 0.0

    assert run(model, data, validate=validate, validate_every=3).losses == plain


def test_a_run_that_goes_on_from_a_checkpoint_gives_the_numbers_of_an_unbroken_one(tmp_path: Path):
    checkpoint = tmp_path / "runs" / "unet.pt"
    model, data = start()
    whole = run(model, data, validate=lambda _: 0.5, validate_every=4)
    weights = model.state_dict()

    broken_model, broken_data = start()
    calls = 0

    def stop_in_the_second(_: nn.Module) -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the power went")
        return 0.5

    with pytest.raises(RuntimeError, match="the power went"):
        run(broken_model, broken_data, validate=stop_in_the_second, validate_every=4, checkpoint=checkpoint)

    model, data = start(seed=99)  # everything that matters comes from the checkpoint
    history = run(model, data, validate=lambda _: 0.5, validate_every=4, checkpoint=checkpoint, resume=True)
    assert history.losses == whole.losses
    assert history.rates == whole.rates
    assert history.validation_steps == whole.validation_steps
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert [path.name for path in checkpoint.parent.iterdir()] == ["unet.pt"]


def test_a_checkpoint_is_written_without_validation_too(tmp_path: Path):
    run(*start(), checkpoint=tmp_path / "unet.pt", validate_every=5)
    assert (tmp_path / "unet.pt").exists()


def test_a_write_that_fails_leaves_the_last_whole_checkpoint(tmp_path: Path, monkeypatch):
    path = tmp_path / "unet.pt"
    model, data = start()
    saves = 0
    save = torch.save

    def full_disk(state, where):
        nonlocal saves
        saves += 1
        if saves == 2:
            Path(where).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(state, where)

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run(model, data, checkpoint=path, validate_every=4)
    assert len(torch.load(path, weights_only=True)["history"]["losses"]) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["unet.pt"]


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path):
    path = tmp_path / "unet.pt"
    model, data = start()
    with pytest.raises(ValueError, match="resume=True needs the checkpoint"):
        run(model, data, resume=True)
    with pytest.raises(FileNotFoundError, match=r"unet\.pt"):
        run(model, data, resume=True, checkpoint=path)
    run(model, data, checkpoint=path)
    with pytest.raises(ValueError, match=r"unet\.pt belongs to a run of 12 steps, got 20"):
        run(*start(), resume=True, checkpoint=path, steps=20)
    with pytest.raises(ValueError, match=r"unet\.pt belongs to another network"):
        run(UNet(3, 2, (4, 9)), data, resume=True, checkpoint=path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"unet\.pt is not a whole checkpoint"):
        run(*start(), resume=True, checkpoint=path)


def test_a_loss_that_is_not_finite_stops_and_names_step_and_cases():
    model, data = start()
    values = iter([1.0, 1.0, math.nan])

    def breaking(logits, labels):
        return cross_entropy_dice(logits, labels) * next(values)

    with pytest.raises(FloatingPointError, match=r"loss of step 3 is nan; its batch came from blob-0, blob-1, .*Lower"):
        run(model, data, loss=breaking, batch_size=64)


def test_after_a_loss_that_is_not_finite_the_model_holds_its_best_weights():
    model, data = start()
    values = iter([1.0] * 4 + [math.nan])
    with pytest.raises(FloatingPointError):
        run(
            model,
            data,
            loss=lambda a, b: cross_entropy_dice(a, b) * next(values),
            validate=lambda _: 0.5,
            validate_every=4,
        )
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_interrupting_keeps_the_best_model(capsys):
    model, data = start()
    calls, kept = 0, {}

    def interrupted(logits, labels):
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return cross_entropy_dice(logits, labels)

    def validate(network: nn.Module) -> float:
        kept.update({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return 0.5

    history = run(model, data, loss=interrupted, validate=validate, validate_every=4)
    assert history.interrupted
    assert len(history.losses) == len(history.rates) == 6
    assert history.best_step == 4
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, kept[name])
    said = capsys.readouterr()
    assert said.out == ""
    assert "Interrupted after 6 of 12 steps" in said.err


def test_the_bar_says_loss_dice_and_time_left_and_stays_out_of_the_output(capsys):
    model, data = start()
    run(model, data, steps=6, validate=lambda _: 0.25, validate_every=2, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "6/6" in said.err
    assert "loss " in said.err
    assert "Dice 0.250" in said.err


def test_weights_decay_towards_zero_and_gradients_are_clipped():
    model, data = start()
    before = float(model.head.weight.detach().norm())
    run(model, data, steps=1, peak_rate=1e-9, loss=lambda a, b: cross_entropy_dice(a, b) * 1e9)
    assert float(model.head.weight.detach().norm()) == pytest.approx(before, rel=1e-6)
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert_close(norm, torch.tensor(1.0), atol=1e-3, rtol=0)


def test_labels_beyond_the_classes_are_refused_before_the_first_step():
    _, data = start()
    data.classes = 6
    with pytest.raises(ValueError, match="labels go up to 5, but the model has classes 0 to 1: make it with classes=6"):
        run(UNet(3, 2, (4, 8)), data)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run(*start(), steps=0)
