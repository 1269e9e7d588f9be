import hashlib
import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medlab import phantoms
from medlab.phantoms import ecg, fields

# A population of its own, seed 5: tumour or none, thin or thick slices, left or right all occur among the first eight.
SEED = 5
COUNT = 8


@pytest.fixture(scope="module")
def brains():
    return [phantoms.brain_patient(index, SEED) for index in range(COUNT)]


@pytest.fixture(scope="module")
def chests():
    return [phantoms.chest_patient(index, SEED) for index in range(3)]


@pytest.fixture(scope="module")
def records():
    return [phantoms.ecg_record(index, SEED) for index in range(4)]


@pytest.fixture
def small_ct():
    """A ramp of 20 slices of 12 x 8 pixels, not cubic, not isotropic, not at the origin."""
    depth, height, width = 20, 12, 8
    volume = np.arange(depth * height * width, dtype=np.int16).reshape(depth, height, width) - 1000
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-12.5, 31.0, -204.25))
    return image


def centre_mm(image, mask):
    """World coordinates (x, y, z) of the middle of a mask."""
    z, y, x = np.argwhere(mask).mean(axis=0)
    return np.array(image.TransformContinuousIndexToPhysicalPoint((x, y, z)))


# --- brain -----------------------------------------------------------------------------------------------------------


def test_brain_image_and_labels_share_one_lps_grid(brains):
    for patient in brains:
        for image in (patient.image, patient.labels):
            assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
            assert image.GetSpacing() == pytest.approx(patient.spacing_mm[::-1])
            assert image.GetSize()[:2] == (80, 96)
        assert patient.image.GetOrigin() == patient.labels.GetOrigin()
        assert patient.labels.GetPixelID() == sitk.sitkUInt8


def test_brain_labels_are_those_named_and_tumours_only_where_said(brains):
    for patient in brains:
        found = set(np.unique(sitk.GetArrayFromImage(patient.labels)).tolist())
        assert found == ({0, 1, 2, 3, 4, 5} if patient.has_tumour else {0, 1, 2, 3})
        assert found <= set(phantoms.BRAIN_LABELS)


def test_some_brains_have_a_tumour_and_some_have_none(brains):
    assert 2 <= sum(patient.has_tumour for patient in brains) <= 7
    assert {patient.tumour_side for patient in brains} == {"left", "right", None}


def test_some_brains_have_thick_slices(brains):
    thickness = {patient.spacing_mm[0] for patient in brains}
    assert 2.0 in thickness
    assert thickness & {4.0, 5.0}


def test_tumour_volumes_are_voxels_times_voxel_volume(brains):
    for patient in brains:
        labels = sitk.GetArrayFromImage(patient.labels)
        voxel_ml = patient.spacing_mm[0] * patient.spacing_mm[1] * patient.spacing_mm[2] / 1000.0
        assert patient.tumour_core_ml == pytest.approx((labels == 5).sum() * voxel_ml)
        assert patient.oedema_ml == pytest.approx((labels == 4).sum() * voxel_ml)
        assert (patient.tumour_core_ml > 1.0) == patient.has_tumour


def test_oedema_lies_around_the_core(brains):
    for patient in filter(lambda patient: patient.has_tumour, brains):
        labels = sitk.GetArrayFromImage(patient.labels)
        distance = ndimage.distance_transform_edt(labels != 5, sampling=patient.spacing_mm)
        assert distance[labels == 4].max() < 30.0
        assert (labels[(distance > 0) & (distance < 2.1)] == 4).mean() > 0.4


def test_tumour_in_the_left_hemisphere_lies_towards_plus_x(brains):
    """LPS: x grows towards the patient's left. The template's own x = 0 lies between the hemispheres."""
    for index, patient in enumerate(brains):
        if patient.has_tumour:
            point = centre_mm(patient.labels, sitk.GetArrayFromImage(patient.labels) == 5)
            middle = centre_mm(patient.labels, sitk.GetArrayFromImage(patient.labels) > 0)
            sign = {"left": 1.0, "right": -1.0}[patient.tumour_side]
            assert sign * (point - middle)[0] > 5.0
            assert sign * phantoms.brain_transform(index, SEED).TransformPoint(point)[0] > 5.0


def test_cerebellum_is_behind_and_the_vertex_on_top(brains):
    """Known anatomy, whatever the code: low slices hold cerebellum and brain stem, which lie behind the middle of the
    brain; the highest slices hold no brain stem, so they are wider than the lowest ones.
    """
    for patient in brains:
        brain = sitk.GetArrayFromImage(patient.labels) > 0
        occupied = np.flatnonzero(brain.any(axis=(1, 2)))
        low = occupied[: len(occupied) // 5]
        lowest, highest = brain[occupied[0] : occupied[0] + 3], brain[occupied[-1] - 2 : occupied[-1] + 1]
        back = [
            centre_mm(patient.labels, mask)[1]
            for mask in (brain, brain & np.isin(np.arange(len(brain)), low)[:, None, None])
        ]
        assert back[1] - back[0] > 10.0
        assert lowest.sum() < highest.sum()


def test_brain_has_the_size_and_make_up_of_one(brains):
    for patient in brains:
        labels = sitk.GetArrayFromImage(patient.labels)
        csf, grey, white, *_ = (float((labels == k).sum() * np.prod(patient.spacing_mm) / 1000.0) for k in range(1, 6))
        assert 1150.0 < csf + grey + white + patient.oedema_ml + patient.tumour_core_ml < 1800.0
        assert 1.2 < grey / white < 2.2
        assert 40.0 < csf < 350.0


def test_brain_deformation_folds_nowhere():
    for index in range(3):
        transform = phantoms.brain_transform(index, SEED)
        head = np.array(transform.GetNthTransform(2).Downcast().GetCenter())
        origin = (head - (90.0, 105.0, 95.0)).tolist()
        field = sitk.TransformToDisplacementField(
            transform, sitk.sitkVectorFloat64, (91, 106, 96), origin, (2.0, 2.0, 2.0)
        )
        determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))[1:-1, 1:-1, 1:-1]
        assert determinant.min() > 0.2
        assert determinant.max() < 6.0


def test_brain_deformation_is_more_than_a_pose():
    """What is left after the best affine fit to the mapped points: millimetres, as between real heads."""
    rng = np.random.default_rng(0)
    for index in range(3):
        transform = phantoms.brain_transform(index, SEED)
        head = np.array(transform.GetNthTransform(2).Downcast().GetCenter())
        points = head + rng.uniform(-60.0, 60.0, (400, 3))
        mapped = np.array([transform.TransformPoint(point) for point in points])
        design = np.c_[points, np.ones(len(points))]
        rest = mapped - design @ np.linalg.lstsq(design, mapped, rcond=None)[0]
        assert 1.5 < np.linalg.norm(rest, axis=1).mean() < 8.0


@pytest.mark.parametrize("steepness", [0.3, 0.95])
def test_invertible_displacement_is_exactly_as_steep_as_asked(steepness):
    lattice = fields.cube_lattice((3.0, -5.0, 8.0), (60.0, 76.0, 92.0))
    field = fields.invertible_displacement(np.random.default_rng(3), lattice, 8.0, steepness)
    u = sitk.GetArrayFromImage(field)  # (D, H, W, 3)
    rows = []
    for z, y, x in np.ndindex(*(n - 1 for n in u.shape[:3])):  # by hand, cell for cell
        cell = u[z : z + 2, y : y + 2, x : x + 2]
        rows.append(sum(np.abs(np.diff(cell, axis=axis)).max(axis=(0, 1, 2)) for axis in range(3)).max() / 4.0)
    assert max(rows) == pytest.approx(steepness)
    assert np.abs(u[0]).max() == 0.0  # nothing moves at the border, where the field ends


def test_brain_intensities_differ_by_orders_of_magnitude(brains):
    white = [
        np.median(sitk.GetArrayFromImage(patient.image)[sitk.GetArrayFromImage(patient.labels) == 3])
        for patient in brains
    ]
    assert max(white) / min(white) > 30.0
    assert min(white) > 50.0


def test_t1_shows_fluid_dark_and_t2_shows_it_bright_with_the_same_labels(brains):
    for index in (0, 1):
        other = phantoms.brain_patient(index, SEED, contrast="T2")
        labels = sitk.GetArrayFromImage(other.labels)
        assert np.array_equal(labels, sitk.GetArrayFromImage(brains[index].labels))
        means = [
            [sitk.GetArrayFromImage(p.image)[labels == k].mean() for k in (1, 2, 3)] for p in (brains[index], other)
        ]
        assert means[0][0] < means[0][1] < means[0][2]
        assert means[1][0] > means[1][1] > means[1][2]


def test_brain_extraction_leaves_a_rim_and_zeros_beyond(brains):
    for patient in brains:
        image, labels = sitk.GetArrayFromImage(patient.image), sitk.GetArrayFromImage(patient.labels)
        distance = ndimage.distance_transform_edt(labels == 0, sampling=patient.spacing_mm)
        assert (image[distance > 12.0] == 0).all()
        assert (image[(distance > 0) & (distance < 2.5)] > 0).mean() > 0.5
        assert (image[labels > 0] > 0).mean() > 0.98


def digests():
    patient, chest, record = (
        phantoms.brain_patient(2, SEED),
        phantoms.chest_patient(1, SEED),
        phantoms.ecg_record(3, SEED),
    )
    images = (patient.image, patient.labels, chest.image, chest.labels)
    arrays = [*(sitk.GetArrayFromImage(image) for image in images), record.signals_mv, record.beat_samples]
    return [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]


def test_patients_do_not_depend_on_process_threads_or_global_random_state():
    np.random.seed(1)  # noqa: NPY002, the global state is what is tested
    here = digests()
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import numpy, SimpleITK\n"
        f"SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads({1 if threads > 1 else 3})\n"
        "numpy.random.seed(2); import test_phantoms; print(json.dumps(test_phantoms.digests()))"
    )
    folder = str(__file__).rsplit("test_phantoms", 1)[0]
    there = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert json.loads(there.stdout) == here


def test_index_and_seed_make_different_patients(brains):
    images = [sitk.GetArrayFromImage(patient.labels) for patient in (brains[0], phantoms.brain_patient(0, SEED + 1))]
    assert not np.array_equal(*images)
    assert len({patient.image.GetOrigin() for patient in brains}) == COUNT


@pytest.mark.parametrize("make", ["brain_patient", "chest_patient", "ecg_record"])
@pytest.mark.parametrize(("index", "seed", "said"), [(-1, 0, "index"), (1.5, 0, "index"), (0, -3, "seed")])
def test_negative_or_broken_numbers_are_refused(make, index, seed, said):
    with pytest.raises(ValueError, match=f"{said} must be an integer of 0 or more, got "):
        getattr(phantoms, make)(index, seed)


def test_unknown_contrast_is_refused():
    with pytest.raises(ValueError, match="contrast must be one of T1, T2, got 'FLAIR'"):
        phantoms.brain_patient(0, contrast="FLAIR")


def test_unknown_name_lists_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'knee_patient'; it has .*brain_patient"):
        getattr(phantoms, "knee_patient")  # noqa: B009


def test_no_socket_and_no_nilearn_import_for_a_brain():
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a socket was asked for')\n"
        "socket.socket = refuse\n"
        "import medlab.phantoms as p; assert 'SimpleITK' not in sys.modules\n"
        "p.brain_patient(0); assert 'nilearn' not in sys.modules; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- chest -----------------------------------------------------------------------------------------------------------


def test_chest_labels_are_those_named(chests):
    for patient in chests:
        found = set(np.unique(sitk.GetArrayFromImage(patient.labels)).tolist())
        assert found - {6} == set(phantoms.CHEST_LABELS) - {6}
        assert (6 in found) == bool(patient.nodules)


def test_chest_tissues_have_their_hounsfield_units(chests):
    for patient in chests:
        hu, labels = (sitk.GetArrayFromImage(image) for image in (patient.image, patient.labels))
        assert hu.dtype == np.int16
        assert -900 < np.median(hu[(labels == 1) | (labels == 2)]) < -780
        assert 20 < np.median(hu[labels == 3]) < 60
        assert np.median(hu[labels == 4]) > 150
        assert np.median(hu[labels == 5]) < -900
        assert np.abs(np.median(hu[:, 0]) + 1000) < 20


def test_left_lung_and_heart_apex_lie_to_the_left(chests):
    for patient in chests:
        labels = sitk.GetArrayFromImage(patient.labels)
        left, right, heart, bone = (centre_mm(patient.labels, labels == k) for k in (1, 2, 3, 4))
        assert left[0] > 40.0
        assert right[0] < -40.0
        assert heart[0] > 5.0
        assert bone[1] > heart[1] + 10.0  # the spine is behind
        assert (labels == 2).sum() > (labels == 1).sum()


def test_nodules_are_balls_of_the_stated_place_and_diameter():
    patients = [phantoms.chest_patient(index) for index in (0, 1, 5)]
    assert sum(len(patient.nodules) for patient in patients) >= 3
    for patient in patients:
        image, labels = (sitk.GetArrayFromImage(one) for one in (patient.image, patient.labels))
        grid = zip(patient.labels.GetOrigin(), patient.labels.GetSpacing(), np.indices(labels.shape)[::-1], strict=True)
        world = [origin + spacing * index for origin, spacing, index in grid]  # x, y, z
        depth = np.full(labels.shape, -np.inf)
        for nodule in patient.nodules:
            assert 6.0 <= nodule.diameter_mm <= 22.0
            distance = np.sqrt(sum((w - c) ** 2 for w, c in zip(world, nodule.centre_mm, strict=True)))
            depth = np.maximum(depth, nodule.diameter_mm / 2 - distance)
            assert -60 < image[distance < nodule.diameter_mm / 2 - 1.0].mean() < 90
        sure = np.abs(depth) > 1e-3  # single precision
        assert np.array_equal((labels == 6)[sure], (depth > 0)[sure])


# --- ECG -------------------------------------------------------------------------------------------------------------


def test_ecg_is_ten_minutes_of_two_leads_at_360_hz(records):
    for record in records:
        assert record.signals_mv.shape == (216_000, 2)
        assert record.signals_mv.dtype == np.float32
        assert record.sampling_hz == 360.0
        assert set(record.beat_symbols.tolist()) <= {"N", "S", "V"}
        assert len(record.beat_samples) == len(record.beat_symbols)
        assert 450 < len(record.beat_samples) < 1100


def test_beats_are_at_peaks_of_the_first_lead(records):
    """Smoothed over 5 samples, for the noise: nothing within 40 ms stands out more from the baseline."""
    for record in records:
        lead = ndimage.uniform_filter1d(record.signals_mv[:, 0].astype(float), 5)
        lead -= ndimage.median_filter(lead, 217)
        window = lead[record.beat_samples[:, None] + np.arange(-14, 15)]
        peak = np.abs(window).max(axis=1)
        assert np.median(np.abs(window[:, 14]) / peak) > 0.97
        assert (np.abs(window[:, 14]) / peak).min() > 0.75


def test_beats_are_exact_peaks_without_the_noise(monkeypatch):
    monkeypatch.setattr(ecg, "_noise", lambda rng, n: np.zeros((n, 2)))
    for index in range(3):
        record = phantoms.ecg_record(index, SEED)
        lead, at = record.signals_mv[:, 0], record.beat_samples
        up = np.where(lead[at] > 0, 1.0, -1.0)
        assert (up * lead[at] >= up * lead[at - 1]).all()
        assert (up * lead[at] >= up * lead[at + 1]).all()
        assert (np.abs(lead[at]) > 0.4).all()


def test_v_and_s_come_early_and_v_is_followed_by_a_full_pause(records):
    for record in records:
        rr = np.diff(record.beat_samples) / 360.0
        before, after, kind = rr[:-1], rr[1:], record.beat_symbols[1:-1]
        usual = np.median(rr)
        for symbol in set(kind.tolist()) - {"N"}:
            assert np.median(before[kind == symbol]) < 0.85 * usual
        assert before[kind == "V"] + after[kind == "V"] == pytest.approx(2 * usual, rel=0.35)
        assert np.median(before[kind == "V"] + after[kind == "V"]) == pytest.approx(2 * usual, rel=0.08)


def test_v_is_wide_and_has_no_p_wave(monkeypatch):
    monkeypatch.setattr(ecg, "_noise", lambda rng, n: np.zeros((n, 2)))
    record = phantoms.ecg_record(0, SEED)
    beats = {kind: record.beat_samples[record.beat_symbols == kind] for kind in "NV"}
    widths = {}
    for kind, at in beats.items():
        window = np.abs(record.signals_mv[at[:, None] + np.arange(-40, 41), 0])
        widths[kind] = np.median((window > window[:, 40:41] / 2).sum(axis=1))
    assert widths["V"] > 1.7 * widths["N"]


def test_patients_ecgs_differ_more_than_one_patients_beats(records):
    """What makes a split by beat leak: the mean normal beat tells the patient."""
    shapes, spreads = [], []
    for record in records:
        at = record.beat_samples[record.beat_symbols == "N"]
        window = record.signals_mv[at[:, None] + np.arange(-90, 120), 0]
        window = window - np.median(window, axis=1, keepdims=True)
        shapes.append(window.mean(axis=0))
        spreads.append(np.sqrt(((window - shapes[-1]) ** 2).mean()))
    apart = [np.sqrt(((a - b) ** 2).mean()) for i, a in enumerate(shapes) for b in shapes[:i]]
    assert np.mean(apart) > 0.8 * np.mean(spreads)


# --- DICOM -----------------------------------------------------------------------------------------------------------


def test_dicom_series_comes_back_voxel_for_voxel(tmp_path, small_ct):
    folder = phantoms.write_dicom_series(tmp_path / "ct", small_ct)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    back = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(small_ct))
    assert back.GetSpacing() == pytest.approx(small_ct.GetSpacing())
    assert back.GetOrigin() == pytest.approx(small_ct.GetOrigin())
    assert back.GetDirection() == pytest.approx(small_ct.GetDirection())


def test_dicom_header_is_sound_made_up_and_out_of_order(tmp_path, small_ct):
    folder = phantoms.write_dicom_series(tmp_path / "ct", small_ct)
    files = sorted(folder.iterdir())
    headers = [pydicom.dcmread(file) for file in files]
    heights = [float(header.ImagePositionPatient[2]) for header in headers]
    assert len(files) == 20
    assert heights != sorted(heights)
    assert heights != sorted(heights, reverse=True)
    assert len({header.SOPInstanceUID for header in headers}) == 20
    assert len({header.SeriesInstanceUID for header in headers}) == 1
    assert all(header.SOPInstanceUID.is_valid and header.SeriesInstanceUID.is_valid for header in headers)
    assert {str(header.PatientName) for header in headers} == {"Phantom^Adam"}
    assert headers[0].file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (headers[0].RescaleSlope, headers[0].RescaleIntercept) == (1, -1024)
    assert [float(spacing) for spacing in headers[0].PixelSpacing] == [0.9, 0.7]  # rows first


def test_dicom_series_is_written_the_same_twice(tmp_path, small_ct):
    one, two = (phantoms.write_dicom_series(tmp_path / name, small_ct) for name in ("one", "two"))
    assert [file.name for file in sorted(one.iterdir())] == [file.name for file in sorted(two.iterdir())]
    assert [file.read_bytes() for file in sorted(one.iterdir())] == [
        file.read_bytes() for file in sorted(two.iterdir())
    ]


def heights_of(folder):
    return sorted(float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in folder.iterdir())


def test_missing_slice_leaves_one_double_gap(tmp_path, small_ct):
    gaps = np.diff(heights_of(phantoms.write_dicom_series(tmp_path / "ct", small_ct, fault="missing slice")))
    assert sorted(gaps.round(3).tolist()) == [2.5] * 17 + [5.0]


def test_uneven_gap_has_two_gaps_of_which_none_is_a_multiple(tmp_path, small_ct):
    gaps = np.diff(heights_of(phantoms.write_dicom_series(tmp_path / "ct", small_ct, fault="uneven gap")))
    assert sorted(set(gaps.round(3).tolist())) == [5.0, 7.5]


def test_gantry_tilt_turns_the_slices_and_keeps_the_anatomy_in_place(tmp_path):
    """A ramp along z alone: a tilted slice must hold the height of each of its own pixels."""
    z = np.arange(40, dtype=np.int16)[:, None, None] * 20
    image = sitk.GetImageFromArray(np.broadcast_to(z, (40, 24, 10)).copy())
    image.SetSpacing((1.0, 1.0, 2.0))
    headers = [
        pydicom.dcmread(f) for f in phantoms.write_dicom_series(tmp_path / "ct", image, fault="gantry tilt").iterdir()
    ]
    header = min(headers, key=lambda one: abs(float(one.ImagePositionPatient[2]) - 30.0))
    down = np.array(header.ImageOrientationPatient[3:], dtype=float)
    assert np.degrees(np.arcsin(down[2])) == pytest.approx(15.0)
    assert header.GantryDetectorTilt == 15
    rows = np.arange(24)
    expected = (float(header.ImagePositionPatient[2]) + rows * down[2]) * 10.0  # 20 for each 2 mm
    hounsfield = header.pixel_array[:, 4].astype(float) + float(header.RescaleIntercept)
    assert hounsfield == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("fault", ["gantry tilt", "uneven gap", "missing slice"])
def test_series_with_a_fault_is_refused_by_our_reader(tmp_path, small_ct, fault):
    from medlab import images

    folder = phantoms.write_dicom_series(tmp_path / "ct", small_ct, fault=fault)
    said = {"gantry tilt": "gantry tilt of 15.0 degrees", "uneven gap": "uneven gaps", "missing slice": "missing"}[
        fault
    ]
    with pytest.raises(ValueError, match=said):
        images.read(folder)


def test_series_wants_a_folder_of_its_own_and_leaves_nothing_behind(tmp_path, small_ct):
    folder = tmp_path / "ct"
    folder.mkdir()
    assert phantoms.write_dicom_series(folder, small_ct) == folder
    with pytest.raises(FileExistsError, match="holds files already; a series needs a folder of its own"):
        phantoms.write_dicom_series(folder, small_ct)
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]


def test_series_refuses_what_it_can_not_write(tmp_path, small_ct):
    with pytest.raises(
        ValueError, match="fault must be None or one of gantry tilt, uneven gap, missing slice, got 'late'"
    ):
        phantoms.write_dicom_series(tmp_path / "ct", small_ct, fault="late")
    with pytest.raises(ValueError, match="Hounsfield units must be -1024 or more, got -1500"):
        phantoms.write_dicom_series(tmp_path / "ct", small_ct - 500)
    with pytest.raises(ValueError, match="needs 12 slices or more, got 3"):
        phantoms.write_dicom_series(tmp_path / "ct", small_ct[:, :, :3], fault="uneven gap")
    assert not list(tmp_path.iterdir())
