"""Electrocardiograms of any number of synthetic patients, from the dynamical model of McSharry et al. (2003).

The model moves a point round a circle, once a heart beat; at fixed angles it is pulled up or down, which draws P, Q, R,
S and T. Its first two equations keep the point on the circle, where it starts: their solution is the angle alone, an
integral of the heart rate. The third is linear in the voltage and is solved by a first-order recursion, so a record
takes a fraction of a second instead of hundreds of thousands of Runge-Kutta steps.

Source: McSharry, Clifford, Tarassenko, Smith 2003, DOI 10.1109/TBME.2003.808805, equations 1 to 5 and table I.
    Ours on top: waves of three kinds of beat in two leads, heights in mV, and widths of Q, R and S that keep their
    duration when the heart rate changes.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from medlab.phantoms.fields import generator
from medlab.wfdb import Record

_SAMPLING_HZ = 360.0
_DURATION_S = 600.0
_ANGLES = np.deg2rad([-70.0, -15.0, 0.0, 15.0, 100.0])  # of P, Q, R, S, T at one beat a second
_WIDTHS = np.array([0.25, 0.10, 0.10, 0.10, 0.40])  # rad
_STRETCH = np.array([0.5, 1.0, 1.0, 1.0, 0.5])  # an angle grows with this power of the heart rate


@dataclass(frozen=True)
class _Waves:
    """One kind of beat: per wave (P, Q, R, S, T) angle and width in rad at one beat a second, height in mV."""

    angles: np.ndarray  # (5,)
    widths: np.ndarray  # (5,)
    heights_mv: np.ndarray  # (5, leads)


def ecg_record(index: int, seed: int = 0) -> Record:
    """Return ten minutes of synthetic electrocardiogram number `index` of the population `seed`.

    Beats are "N" (normal), "V" (ventricular: early, wide, no P wave, T against R, then a pause) and "S"
    (supraventricular: early, narrow, with another P wave). Every patient has shapes, rates, noise and shares of V and S
    of their own, and a few have no V or no S: a classifier that has seen a patient's other beats knows more than one
    that has not.

    Args:
        index: 0 or more.
        seed: 0 or more; another seed is another population.

    Returns:
        Two leads ("MLII", "V1") in mV at 360 Hz; `beat_samples` are the peaks of R in the first lead without noise.

    Raises:
        ValueError: index or seed is negative or no integer.
    """
    rng = generator("ecg", index, seed, "heart")
    kinds = _draw_kinds(rng)
    times_s, symbols = _draw_rhythm(rng)
    clean = _voltage(times_s, symbols, kinds)
    samples = _peaks(clean[:, 0], times_s, symbols, kinds)
    noise = _noise(generator("ecg", index, seed, "recorder"), len(clean))
    inside = (samples > 0.4 * _SAMPLING_HZ) & (samples < len(clean) - 0.6 * _SAMPLING_HZ)
    return Record(
        name=f"ecg-{index:04d}",
        signals_mv=(clean + noise).astype(np.float32),
        sampling_hz=_SAMPLING_HZ,
        leads=("MLII", "V1"),
        beat_samples=samples[inside],
        beat_symbols=symbols[inside],
        comments=("synthetic, no person",),
    )


def _draw_kinds(rng: np.random.Generator) -> dict[str, _Waves]:
    """Return the shapes of one patient's beats."""
    normal = _draw_normal(rng)
    other_p = np.array([rng.choice([-0.8, 0.3, 0.7]), 1.0, rng.uniform(0.85, 1.1), rng.uniform(0.8, 1.3), 0.9])
    supraventricular = _Waves(
        angles=normal.angles + np.array([rng.uniform(-0.2, 0.3), 0.0, 0.0, 0.0, 0.0]),
        widths=normal.widths,
        heights_mv=normal.heights_mv * other_p[:, None],
    )
    up = rng.choice([1.0, 1.0, -1.0])  # two in three point up in the first lead
    first = up * np.array([0.0, -0.15, 1.35, -0.55, -0.45]) * _spread(rng, 0.25)
    second = rng.choice([1.0, -1.0]) * np.array([0.0, 0.1, 1.1, -0.4, -0.4]) * _spread(rng, 0.3)
    ventricular = _Waves(
        angles=np.deg2rad([-70.0, -45.0, 0.0, 42.0, 115.0]),
        widths=np.array([0.25, 0.22, 0.24, 0.26, 0.42]) * _spread(rng, 0.1),
        heights_mv=np.stack([first, second], axis=1),
    )
    return {"N": normal, "S": supraventricular, "V": ventricular}


def _draw_normal(rng: np.random.Generator) -> _Waves:
    wide = rng.uniform(1.0, 1.25)  # QRS against table I
    shifts = rng.normal(0.0, 0.03, 5) * (_ANGLES != 0.0)  # R stays at 0
    first = np.array([0.14, -0.12, 1.15, -0.22, 0.30]) * _spread(rng, 0.25)
    second = np.array([0.06, 0.00, 0.25, -0.80, 0.12]) * _spread(rng, 0.35)
    return _Waves(
        angles=_ANGLES * np.array([1.0, wide, 1.0, wide, rng.uniform(0.9, 1.1)]) + shifts,
        widths=_WIDTHS * np.array([1.0, wide, wide, wide, 1.0]) * _spread(rng, 0.1),
        heights_mv=np.stack([first, second], axis=1),
    )


def _spread(rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Return five factors around 1."""
    return np.exp(rng.normal(0.0, deviation, 5))


def _draw_rhythm(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of the beats in s, from before the record to after it, and their symbols."""
    mean_s = 60.0 / rng.uniform(55.0, 92.0)
    variability = _tachogram(rng, mean_s * rng.uniform(0.02, 0.06))
    rates = [0.0 if rng.random() < 0.15 else rng.uniform(low, high) for low, high in ((0.03, 0.16), (0.02, 0.10))]
    times, symbols, pause = [-1.0], ["N"], 1.0
    while times[-1] < _DURATION_S + 2.0:
        normal_s = mean_s + variability[int(max(times[-1], 0.0))]
        kind = "N" if symbols[-1] != "N" else str(rng.choice(["V", "S", "N"], p=[*rates, 1.0 - sum(rates)]))
        early = {"N": 1.0, "V": rng.uniform(0.58, 0.75), "S": rng.uniform(0.62, 0.80)}[kind]
        times.append(times[-1] + normal_s * early * pause)
        symbols.append(kind)
        pause = {"N": 1.0, "V": 2.0 - early, "S": rng.uniform(1.02, 1.15)}[
            kind
        ]  # V: the next beat comes when it was due
    return np.array(times), np.array(symbols)


def _tachogram(rng: np.random.Generator, deviation_s: float) -> np.ndarray:
    """Return how much longer than the mean a beat lasts, s, at every second: waves of 10 s and of the breath."""
    seconds = int(_DURATION_S) + 8
    frequency_hz = np.fft.rfftfreq(seconds, 1.0)
    breath_hz, balance = rng.uniform(0.2, 0.3), rng.uniform(0.3, 1.5)  # balance: power of the slow over the fast
    slow, fast = (np.exp(-((frequency_hz - f) ** 2) / (2 * 0.01**2)) for f in (0.1, breath_hz))
    phases = np.exp(2j * np.pi * rng.random(len(frequency_hz)))
    series = np.fft.irfft(np.sqrt(balance * slow + fast) * phases, seconds)
    return series * deviation_s / series.std()


def _voltage(times_s: np.ndarray, symbols: np.ndarray, kinds: dict[str, _Waves]) -> np.ndarray:
    """Solve the third equation of the model for all leads; (n, leads) in mV, without noise."""
    t = np.arange(int(_DURATION_S * _SAMPLING_HZ)) / _SAMPLING_HZ
    before = np.searchsorted(times_s, t, side="right") - 1
    rr_s = (times_s[1:] - times_s[:-1])[before]
    phase = 2.0 * np.pi * (t - times_s[before]) / rr_s  # 0 at the last R, 2 pi at the next
    ahead = phase > np.pi
    beat = symbols[before + ahead]
    phase = phase - 2.0 * np.pi * ahead  # (n,) from -pi to pi around the R of `beat`
    force = np.zeros((len(t), 2))
    for kind, waves in kinds.items():
        here = np.flatnonzero(beat == kind)
        factor = (1.0 / rr_s[here, None]) ** _STRETCH  # (m, 5)
        away = phase[here, None] - waves.angles * factor
        width = waves.widths * factor
        omega = 2.0 * np.pi / rr_s[here, None]
        pull = -(omega / width**2) * away * np.exp(-(away**2) / (2.0 * width**2))  # so that the wave is 1 mV high
        force[here] = np.einsum("mw,wl->ml", pull, waves.heights_mv)
    step_s = 1.0 / _SAMPLING_HZ
    decay = np.exp(-step_s)  # dz/dt = force - z
    return signal.lfilter([1.0 - decay], [1.0, -decay], force, axis=0)


def _peaks(clean: np.ndarray, times_s: np.ndarray, symbols: np.ndarray, kinds: dict[str, _Waves]) -> np.ndarray:
    """Return the sample of each R's peak, int64: the highest (or, for an R that points down, lowest) within 60 ms."""
    centres = np.rint(times_s * _SAMPLING_HZ).astype(np.int64)
    signs = np.array([np.sign(kinds[str(symbol)].heights_mv[2, 0]) for symbol in symbols])
    reach = np.arange(-int(0.06 * _SAMPLING_HZ), int(0.06 * _SAMPLING_HZ) + 1)
    window = np.clip(centres[:, None] + reach, 0, len(clean) - 1)
    return centres + reach[(signs[:, None] * clean[window]).argmax(axis=1)]


def _noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return baseline wander with the breath, mains hum and muscle noise; (n, leads) in mV."""
    t = np.arange(n)[:, None] / _SAMPLING_HZ
    breath = rng.uniform(0.05, 0.2) * np.sin(2 * np.pi * (rng.uniform(0.15, 0.35) * t + rng.random(2)))
    drift = np.cumsum(rng.standard_normal((n, 2)), axis=0)
    drift = signal.sosfiltfilt(signal.butter(2, [0.02, 0.4], "bandpass", fs=_SAMPLING_HZ, output="sos"), drift, axis=0)
    hum = rng.uniform(0.0, 0.015) * np.sin(2 * np.pi * (rng.choice([50.0, 60.0]) * t + rng.random(2)))
    muscle = rng.uniform(0.008, 0.03) * rng.standard_normal((n, 2))
    return breath + rng.uniform(0.03, 0.12) * drift / drift.std() + hum + muscle
