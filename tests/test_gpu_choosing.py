"""On the device or on the host: the estimate, the limit, and the line that says so."""

import psutil
import torch
from test_gpu import CPU, made

from medlab import gpu
from medlab.gpu import Resident
from medlab.gpu.choosing import _free_bytes


def free(monkeypatch, count: int) -> None:
    monkeypatch.setattr("medlab.gpu.choosing._free_bytes", lambda _: count)


NEEDED = 3 * 7 * 24 * 16 * (2 + 1)  # three volumes padded to 7 x 24 x 16, 2 bytes a value and 1 a label


def test_what_fits_is_kept_on_the_device_and_one_line_says_so(monkeypatch, capsys):
    free(monkeypatch, 2 * NEEDED)
    data = gpu.batches(made(), multiple=8, patch=(8, 8))
    assert isinstance(data, Resident)
    assert data.batch(2)[0].shape == (2, 3, 8, 8)
    assert capsys.readouterr().out == (
        "Data: 3 volumes padded to 7 x 24 x 16 take 24 KiB; half of the free memory of cpu is 24 KiB: kept there.\n"
    )


def test_what_does_not_fit_is_streamed_with_the_same_options(monkeypatch, capsys):
    free(monkeypatch, 2 * NEEDED - 1)
    with gpu.batches(made(), multiple=8, patch=(8, 8)) as data:
        assert isinstance(data, gpu.Prefetch)
        assert data.batch(2)[0].shape == (2, 3, 8, 8)
    assert "is 24 KiB: kept on the host, and streamed.\n" in capsys.readouterr().out


def test_what_does_not_fit_the_host_goes_to_files(monkeypatch, capsys):
    free(monkeypatch, 10_000)
    with gpu.batches(made(), multiple=8) as data:
        assert data.packed.mapped
        assert data.batch(2)[0].shape == (2, 3, 24, 16)
    assert "kept on the host, partly in files, and streamed." in capsys.readouterr().out


def test_the_free_memory_is_measured(monkeypatch):
    assert 2**20 < _free_bytes(CPU) < psutil.virtual_memory().total
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 100)
    assert _free_bytes(torch.device("cuda")) == 1200
