"""The training loop: that it learns, keeps the best, goes on where it stopped, and stops where it must."""

import errno
import math
import os
import weakref
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


@pytest.mark.parametrize("options", [{}, {"ema": 0.8}, {"patience": 2}, {"ema": 0.8, "patience": 2}], ids=str)
def test_a_run_that_goes_on_from_a_checkpoint_gives_the_numbers_of_an_unbroken_one(tmp_path: Path, options):
    checkpoint = tmp_path / "runs" / "unet.pt"
    scores = [0.5, 0.4, 0.3, 0.2]

    def validating(history_so_far: int = 0, stop_at: int | None = None):
        calls = iter(range(history_so_far, len(scores)))

        def validate(_: nn.Module) -> float:
            call = next(calls)
            if call == stop_at:
                raise RuntimeError("the power went")
            return scores[call]

        return validate

    def noisy(logits, labels):  # as dropout is
        return cross_entropy_dice(logits, labels) * torch.rand(())

    plan = {"steps": 16, "validate_every": 4, "loss": noisy, **options}
    model, data = start()
    whole = run(model, data, validate=validating(), **plan)
    weights = model.state_dict()
    assert whole.stopped_early is ("patience" in options)

    with pytest.raises(RuntimeError, match="the power went"):
        run(*start(), validate=validating(stop_at=1), checkpoint=checkpoint, **plan)

    model, data = start(seed=99)  # everything that matters comes from the checkpoint
    history = run(model, data, validate=validating(1), checkpoint=checkpoint, resume=True, **plan)
    assert history.losses == whole.losses
    assert history.rates == whole.rates
    assert history.validation_steps == whole.validation_steps
    assert history.stopped_early is whole.stopped_early
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert [path.name for path in checkpoint.parent.iterdir()] == ["unet.pt"]


def test_the_average_goes_on_too(tmp_path: Path):
    """Without validation the model ends with the average, which took in every step."""
    model, data = start()
    run(model, data, ema=0.8)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def dying(step: int):
        steps = iter(range(1, 100))
        return lambda a, b: cross_entropy_dice(a, b) * (math.nan if next(steps) == step else 1)

    with pytest.raises(FloatingPointError):
        run(*start(), ema=0.8, checkpoint=tmp_path / "a.pt", validate_every=5, loss=dying(8))
    model, data = start(seed=5)
    run(model, data, ema=0.8, checkpoint=tmp_path / "a.pt", resume=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_a_checkpoint_is_written_without_validation_too(tmp_path: Path):
    run(*start(), checkpoint=tmp_path / "unet.pt", validate_every=5)
    assert (tmp_path / "unet.pt").exists()


class Disk:
    """Path.write_bytes of a disk that breaks at one of the writes, after half of the bytes."""

    def __init__(self, monkeypatch, at: int, error: int) -> None:
        self.writes, write = 0, Path.write_bytes

        def write_bytes(path: Path, content) -> int:
            self.writes += 1
            if self.writes != at:
                return write(path, content)
            write(path, bytes(content)[: len(content) // 2])
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(Path, "write_bytes", write_bytes)


def test_a_full_disk_is_a_warning_and_leaves_the_last_whole_checkpoint(tmp_path: Path, monkeypatch):
    path = tmp_path / "unet.pt"
    disk = Disk(monkeypatch, at=3, error=errno.ENOSPC)
    with pytest.warns(UserWarning, match=r"unet\.pt could not be written, the last whole one stays; .*No space left"):
        history = run(*start(), checkpoint=path, validate_every=4)
    assert disk.writes == 3
    assert len(history.losses) == 12
    assert len(torch.load(path, weights_only=True)["history"]["losses"]) == 8
    assert [file.name for file in tmp_path.iterdir()] == ["unet.pt"]


def test_a_disk_that_is_full_from_the_start_leaves_nothing_half(tmp_path: Path, monkeypatch):
    Disk(monkeypatch, at=1, error=errno.ENOSPC)
    with pytest.warns(UserWarning, match="there is none yet; training goes on"):
        run(*start(), checkpoint=tmp_path / "unet.pt")
    assert list(tmp_path.iterdir()) == []


def test_any_other_trouble_with_the_disk_is_an_error(tmp_path: Path, monkeypatch):
    path = tmp_path / "unet.pt"
    Disk(monkeypatch, at=2, error=errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        run(*start(), checkpoint=path, validate_every=4)
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
    with pytest.raises(ValueError, match=r"unet\.pt belongs to a run with steps=12, got steps=20"):
        run(*start(), resume=True, checkpoint=path, steps=20)
    with pytest.raises(ValueError, match=r"unet\.pt belongs to a run with ema=None, got ema=0\.9"):
        run(*start(), resume=True, checkpoint=path, ema=0.9)
    with pytest.raises(ValueError, match=r"unet\.pt belongs to another network"):
        run(UNet(3, 2, (4, 9)), data, resume=True, checkpoint=path)
    whole = path.read_bytes()
    for size in (0, 2000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"unet\.pt is not a whole checkpoint .* delete it"):
            run(*start(), resume=True, checkpoint=path)
    torch.save(model.state_dict(), path)
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


def history_of_weights(model: nn.Module, data, **options) -> list[dict[str, torch.Tensor]]:
    """The model's numbers before the first step and after each, as training without an average makes them."""
    seen = [{name: tensor.clone() for name, tensor in model.state_dict().items()}]

    def validate(network: nn.Module) -> float:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return 0.0

    run(model, data, validate=validate, validate_every=1, **options)
    return seen


def test_the_average_is_that_of_the_formula_and_is_what_is_validated_and_kept():
    model, data = start()
    seen = history_of_weights(model, data, steps=6)
    expected = [{name: tensor.double() for name, tensor in seen[0].items()}]
    for step, now in enumerate(seen[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected.append({name: decay * expected[-1][name] + (1 - decay) * now[name] for name in now})

    model, data = start()
    averages = history_of_weights(model, data, steps=6, ema=0.3)[1:]
    for average, wanted, plain in zip(averages, expected[1:], seen[1:], strict=True):
        for name, tensor in average.items():
            if name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, plain[name])
            else:
                assert_close(tensor.double(), wanted[name], rtol=1e-5, atol=1e-6)
    for name, tensor in model.state_dict().items():  # every score was the same, and the first one wins
        assert torch.equal(tensor, averages[0][name])


def test_an_average_changes_nothing_of_what_is_trained():
    plain = run(*start()).losses
    assert run(*start(), ema=0.9, validate=lambda _: 0.0, validate_every=3).losses == plain


def test_a_short_run_forgets_its_first_weights():
    model, data = start()
    first, *_, last = history_of_weights(model, data, steps=20)
    model, data = start()
    run(model, data, steps=20, ema=0.999)
    for name, tensor in model.state_dict().items():
        if tensor.ndim > 1:
            assert 0 < (tensor - last[name]).norm() < 0.2 * (tensor - first[name]).norm()


@pytest.mark.parametrize(("patience", "stops_after"), [(1, 6), (2, 8), (3, 10), (4, 12)])
def test_training_stops_after_so_many_validations_without_gain(patience, stops_after):
    scores = iter([0.2, 0.8, 0.7, 0.8, 0.8, 0.1])  # as good as the best is no gain
    history = run(*start(), validate=lambda _: next(scores), validate_every=2, patience=patience)
    assert len(history.losses) == len(history.rates) == history.validation_steps[-1] == stops_after
    assert history.stopped_early is (stops_after < 12)
    assert (history.best_step, history.best_dice) == (4, 0.8)
    assert not history.interrupted


def test_a_run_that_had_stopped_early_stays_stopped_and_goes_on_with_more_patience(tmp_path: Path):
    def falling():
        scores = iter([0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
        return lambda _: next(scores)

    plan = {"validate_every": 2, "checkpoint": tmp_path / "unet.pt"}
    assert len(run(*start(), validate=falling(), patience=2, **plan).losses) == 6
    history = run(*start(), validate=falling(), patience=2, resume=True, **plan)
    assert (len(history.losses), history.stopped_early) == (6, True)
    history = run(*start(), validate=lambda _: 0.0, patience=9, resume=True, **plan)
    assert (len(history.losses), history.stopped_early) == (12, False)


def test_a_validation_of_nan_never_takes_the_place_of_a_number():
    scores = iter([math.nan, 0.3, math.nan])
    history = run(*start(), validate=lambda _: next(scores), validate_every=4)
    assert (history.best_step, history.best_dice) == (8, 0.3)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 40 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
    ],
    ids=["cuda", "linux", "windows", "mps"],
)
def test_no_memory_left_says_what_to_lower(error):
    def heavy(logits, labels):
        raise error

    with pytest.raises(MemoryError, match=r"a batch of 6 does not fit into the memory of cpu: lower batch_size"):
        run(*start(), loss=heavy)


def test_memory_that_really_is_not_there_is_recognised():
    def heavy(logits, labels):
        return torch.empty(2**60).sum()

    with pytest.raises(MemoryError, match="lower batch_size, the patch, or the widths"):
        run(*start(), loss=heavy)


def test_after_memory_ran_out_the_maps_of_the_step_are_let_go():
    model, data = start()
    maps = []

    def heavy(logits, labels):
        maps.append(weakref.ref(logits))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryError) as caught:
        run(model, data, loss=heavy)
    assert caught.value.__traceback__ is not None
    assert maps[0]() is None


def test_other_errors_of_the_network_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size of tensor"):
        run(*start(), loss=lambda a, b: (a - torch.zeros(7, 5, 3)).sum())


class Signals:
    """Rising or falling signals: (B, 1, T) with one class each."""

    def __init__(self) -> None:
        self.device, self.dims, self.classes, self.names = torch.device("cpu"), 1, 2, ["down", "up"]
        self.generator = torch.Generator().manual_seed(0)
        self.last_cases = torch.zeros(0, dtype=torch.long)

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.last_cases = torch.randint(2, (size,), generator=self.generator)
        slope = self.last_cases.float()[:, None, None] * 2 - 1
        return slope * torch.linspace(-1, 1, 9) + torch.randn(size, 1, 9, generator=self.generator), self.last_cases


def test_signals_with_one_class_each_train_too(capsys):
    gpu.seed(0)
    model = nn.Sequential(nn.Conv1d(1, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten(), nn.Linear(56, 2))
    plan = {"loss": nn.functional.cross_entropy, "ema": 0.9, "validate": lambda _: 0.625, "progress": True}
    history = run(model, Signals(), steps=30, batch_size=16, **plan)
    assert np.mean(history.losses[-5:]) < 0.4 * history.losses[0]
    assert "score 0.625" in capsys.readouterr().err  # not a Dice


class SliceFilters(nn.Module):
    """A network of volumes that holds filters of slices, such as the convolutional-recurrent U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.flat, self.deep = 2, nn.Conv2d(1, 4, 3, padding=1), nn.Conv3d(4, 2, 3, padding=1)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        slices = self.flat(volumes.transpose(1, 2).flatten(0, 1))
        return self.deep(slices.unflatten(0, (len(volumes), -1)).transpose(1, 2))


def test_filters_of_slices_in_a_network_of_volumes_train_too():
    gpu.seed(0)
    data = Resident([Blob(i) for i in range(2)], dims=3, multiple=4)
    model = SliceFilters()
    history = run(model, data, steps=20, batch_size=2)
    assert history.losses[-1] < 0.8 * history.losses[0]
    if gpu.precision(data.device).channels_last:
        assert model.flat.weight.is_contiguous(memory_format=torch.channels_last)
        assert model.deep.weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_chance_on_the_gpu_goes_on_from_a_checkpoint_too(tmp_path: Path):
    class Dropping(UNet):
        def forward(self, images):
            return super().forward(nn.functional.dropout(images, 0.2, self.training))

    def begin(seed: int):
        gpu.seed(seed)
        data = Resident([Blob(i) for i in range(4)], multiple=4, device="cuda")
        return Dropping(data.channels, data.classes, (4, 8)), data

    whole = run(*begin(0), validate_every=4)
    calls = iter([None, RuntimeError("the power went")])

    def validate(_: nn.Module) -> float:
        if error := next(calls):
            raise error
        return 0.0

    with pytest.raises(RuntimeError, match="the power went"):
        run(*begin(0), validate_every=4, validate=validate, checkpoint=tmp_path / "unet.pt")
    history = run(*begin(7), validate_every=4, checkpoint=tmp_path / "unet.pt", resume=True)
    assert_close(torch.tensor(history.losses), torch.tensor(whole.losses), rtol=1e-5, atol=0)


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ema": 1.0}, "ema must be a decay from 0 to below 1"),
        ({"ema": -0.1}, "ema must be a decay from 0 to below 1"),
        ({"patience": 0, "validate": lambda _: 0.0}, "patience must be at least 1 validation, .* got 0"),
        ({"patience": 3}, "patience must be at least 1 validation, and needs validate; got 3 and None"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        run(*start(), **options)
