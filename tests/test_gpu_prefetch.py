"""The cohort that stays on the host: the same batches as ever, whoever cuts them, and nothing left behind."""

import errno
import gc
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from test_gpu import SIZES, made

from medlab import gpu
from medlab.augment import Augment
from medlab.gpu import Prefetch, Resident
from medlab.models.unet import UNet
from medlab.train import fit

AUGMENT = Augment(flip_axes=(0,))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("medlab-prefetch")]


def dealt(workers: int, seed: int = 3, **options) -> list[torch.Tensor]:
    gpu.seed(seed)
    with Prefetch(made(), multiple=8, workers=workers, augment=AUGMENT, **options) as data:
        return [
            tensor for size in (4, 4, 4, 7, 7, 4) for tensor in (*data.batch(size), data.last_cases)
        ]  # images, labels, cases


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("options", [{}, {"dims": 3, "patch": (4, 9, 8)}])
def test_the_seed_decides_the_batches_and_the_workers_do_not(options):
    alone = dealt(0, **options)
    assert equal(alone, dealt(1, **options))
    assert equal(alone, dealt(2, **options))
    assert not torch.equal(alone[0], dealt(0, seed=4, **options)[0])
    assert not torch.equal(alone[0], alone[3])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context": 0, "patch": (8, 5)},
        {"context": 2, "patch": (20, 12)},  # larger than some of the volumes
        {"dims": 3},
        {"dims": 3, "patch": (3, 8, 5)},
        {"dims": 3, "patch": (8, 20, 12)},
    ],
)
@pytest.mark.parametrize("channels", [(), (2,)])
def test_from_the_same_places_it_deals_what_resident_deals(options, channels):
    cases = made(channels=channels)
    resident = Resident(cases, multiple=8, **options)
    with Prefetch(cases, multiple=8, workers=1, **options) as data:
        assert (data.channels, data.classes, data.names, len(data)) == (resident.channels, 3, resident.names, 3)
        state = data.generator.get_state()
        for size in (40, 3):
            drawn = data.batch(size)
            data.generator.set_state(state)  # the first of the two numbers that a batch draws seeds the places
            resident.generator.manual_seed(int(torch.randint(2**62, (2,), generator=data.generator)[0]))
            state = data.generator.get_state()
            expected = resident.batch(size)
            assert drawn[0].dtype == torch.float32
            assert drawn[1].dtype == torch.int64
            assert equal([*drawn, data.last_cases], [*expected, resident.last_cases])


def test_whole_volumes_come_back_without_padding():
    cases = made()
    resident = Resident(cases)
    with Prefetch(cases) as data:
        for index, size in enumerate(SIZES):
            volume, labels = data.volume(index)
            assert volume.shape == (1, *size)
            assert equal([volume, labels], [*resident.volume(index)])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_of_the_generator_brings_the_batches_back(workers):
    with Prefetch(made(), multiple=8, workers=workers, augment=AUGMENT) as data:
        data.batch(4)
        state = data.generator.get_state()
        after = [data.batch(4)[0] for _ in range(3)]
        data.generator.set_state(state)
        assert equal(after, [data.batch(4)[0] for _ in range(3)])
        data.generator.manual_seed(1)
        first = data.batch(4)[0]
        assert not torch.equal(first, after[0])
        data.generator.manual_seed(1)
        assert torch.equal(first, data.batch(4)[0])


def test_batches_are_cut_before_they_are_asked_for():
    with Prefetch(made(), multiple=8, workers=2) as data:
        data.batch(4)
        orders = [order for order, _ in data._coming]
        assert len(orders) == 3
        for _, future in data._coming:
            future.result()
        data.batch(4)
        assert [order for order, _ in data._coming][:2] == orders[1:]  # and none of them was thrown away


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_in_a_worker_names_the_case(workers):
    class Broken:
        dtype, nbytes = np.dtype(np.int16), 0

        def __len__(self) -> int:
            return 1

        def __getitem__(self, _):
            raise OSError("the disk is gone")

    with Prefetch(made(), multiple=8, workers=workers) as data:
        data.packed.values[1] = Broken()
        with pytest.raises(RuntimeError, match=r"no patch could be cut out of case-1 \(the disk is gone\)"):
            data.batch(30)


def test_closing_ends_the_threads_and_deletes_the_files():
    data = Prefetch(made(), multiple=8, workers=2, memory=5000)
    folder = data.packed._folder
    assert len(list(folder.iterdir())) == 4  # two of the three volumes do not fit 5000 bytes
    data.batch(4)
    assert threads()
    data.close()
    data.close()
    assert not threads()
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="this Prefetch is closed: make another"):
        data.batch(4)


def test_volumes_in_files_give_the_same_batches():
    assert equal(dealt(2), dealt(2, memory=5000))


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_interrupt_in_a_with_block_leaves_no_thread():
    with (
        pytest.raises(KeyboardInterrupt),
        Prefetch(made(), multiple=8, workers=2, augment=interrupted) as data,
    ):
        data.batch(4)
    assert not threads()


def test_a_full_disk_is_named_and_nothing_is_left(monkeypatch, tmp_path):
    def full(path, array):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match=r"0-int16\.npy could not be written \(No space left on device\): free some"):
        Prefetch(made(), memory=0)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_thread")
def test_training_goes_on_from_a_checkpoint_to_the_numbers_of_an_unbroken_run(tmp_path):
    def trained(steps_seen: list[int], *, stop_at: int | None = None, resume: bool = False) -> list[float]:
        def validate(_) -> float:
            steps_seen.append(1)
            if len(steps_seen) == stop_at:
                raise RuntimeError("the power went")
            return 0.5

        gpu.seed(99 if resume else 0)
        with Prefetch(made(), multiple=4, patch=(12, 8), workers=2, augment=AUGMENT) as data:
            model = UNet(data.channels, data.classes, (4, 8))
            options = {"steps": 8, "batch_size": 4, "validate_every": 2, "progress": False}
            checkpoint = tmp_path / "unet.pt"
            return fit(model, data, validate=validate, checkpoint=checkpoint, resume=resume, **options).losses

    whole = trained([])
    with pytest.raises(RuntimeError, match="the power went"):
        trained([], stop_at=3)
    assert trained([], resume=True) == whole


def test_a_program_that_fails_without_closing_ends():
    program = (
        "from test_gpu import made; from medlab.gpu import Prefetch\n"
        "data = Prefetch(made(), multiple=8, workers=2, memory=5000); data.batch(4); print(data.packed._folder)\n"
        "raise ValueError"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1  # not killed by a signal
    assert done.stderr.endswith("ValueError\n")
    assert not Path(done.stdout.strip()).exists()


def test_a_batch_beyond_the_memory_says_what_to_lower():
    with (
        Prefetch(made(), multiple=8) as data,
        pytest.raises(torch.OutOfMemoryError, match=r"a batch of \d+ does not fit: lower the batch size or the patch"),
    ):
        data.batch(2**45)


def test_bad_cohorts_and_options_are_refused_as_by_resident():
    with pytest.raises(ValueError, match="cases must hold at least one case, got none"):
        Prefetch([])
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        Prefetch(made(), workers=-1)
    with pytest.raises(ValueError, match=r"patch must be 3 sizes of at least 1 and at most \(8, 24, 16\)"):
        Prefetch(made(), dims=3, multiple=8, patch=(9, 8, 8))
    assert not threads()
