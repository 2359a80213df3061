"""GE Kretz files: read as they are, in every wrapping; and measured like the volume that they were made from."""

import struct

import numpy as np
import pytest
import torch
from kretz_files import (
    ARRAY,
    GRID,
    PROBE_VOLUME,
    cartesian_items,
    dicom,
    film,
    item,
    kretz,
    scanned,
    toroidal,
    toroidal_items,
    written,
    zipped,
)

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.reading.doubts import SENTENCES, Doubt
from FetalPoseLib.reading.kretz import count_frames, is_kretz, read_kretz
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.session.estimate_file import FileOptions, estimate_file
from FetalPoseLib.volume.grid import Volume, canonical_grid
from FetalPoseLib.volume.probe_resampling import scan_converted
from FetalPoseLib.volume.resampling import resample
from FetalPoseLib.worker.client import WorkerClient

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def assert_is_the_volume(reading, *, mirrored=False):
    volume = reading.volume
    np.testing.assert_array_equal(volume.array, ARRAY)
    voxels = np.stack(np.indices(GRID.shape), axis=-1)
    expected = GRID.to_world(voxels) * ([-1, 1, 1] if mirrored else 1)
    np.testing.assert_allclose(volume.grid.to_world(voxels), expected, atol=1e-9)
    assert "sides" in [doubt.code for doubt in reading.doubts]


# --- what is read


@pytest.mark.parametrize("name", ["a.vol", "a.v00", "noname"])
def test_a_toroidal_file(tmp_path, name):
    reading = read_kretz(written(tmp_path / name, kretz(toroidal())))
    assert_is_the_volume(reading)
    assert reading.in_probe_coordinates and reading.frames == 1 and [d.code for d in reading.doubts] == ["sides"]


@pytest.mark.parametrize("creator, block", [(b"KRETZ_US", 0x11), (b"KRETZ_US ", 0x10), (b"KRETZ_US", 0x42)])
def test_a_dicom_file_that_wraps_one(tmp_path, creator, block):
    path = written(tmp_path / "IM1.dcm", dicom(kretz(toroidal()), creator=creator, block=block))
    assert is_kretz(path)
    assert_is_the_volume(read_kretz(path))


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("wrap", [lambda content: content, dicom])
def test_a_4dv_file_which_is_a_zip(tmp_path, compress, wrap):
    path = written(tmp_path / "a.4dv", zipped(wrap(kretz(toroidal())), compress=compress))
    assert is_kretz(path)
    assert_is_the_volume(read_kretz(path))


def test_a_cartesian_file_has_a_doubtful_spacing(tmp_path):
    reading = read_kretz(written(tmp_path / "a.vol", kretz(cartesian_items(ARRAY, 0.45))))
    assert isinstance(reading.volume, Volume) and not reading.in_probe_coordinates
    np.testing.assert_array_equal(reading.volume.array, ARRAY)
    np.testing.assert_array_equal(reading.volume.ijk_to_ras, np.diag([0.45, 0.45, 0.45, 1]))
    assert [doubt.code for doubt in reading.doubts] == ["sides", "spacing"]
    assert "0.45 mm" in reading.doubts[1].sentence


def test_mirrored_exchanges_left_and_right_and_nothing_else(tmp_path):
    path = written(tmp_path / "a.vol", kretz(toroidal()))
    assert_is_the_volume(read_kretz(path, mirrored=True), mirrored=True)
    plain, mirrored = (canonical_grid(read_kretz(path, mirrored=side).volume, 2.0) for side in (False, True))
    np.testing.assert_allclose(mirrored.affine, plain.affine, atol=1e-9)  # the fan is symmetric
    images = [resample(read_kretz(path, mirrored=side).volume, plain).numpy() for side in (False, True)]
    assert (images[0] > 0).sum() > 1000
    np.testing.assert_allclose(images[0], images[1][:, :, ::-1], atol=1)
    assert "mirrored" in read_kretz(path, mirrored=True).doubts[0].sentence
    cartesian = written(tmp_path / "b.vol", kretz(cartesian_items(ARRAY, 0.45)))
    matrix = read_kretz(cartesian, mirrored=True).volume.ijk_to_ras
    np.testing.assert_array_equal(matrix, MIRROR @ read_kretz(cartesian).volume.ijk_to_ras)


def test_one_frame_of_several_is_chosen_and_never_guessed(tmp_path):
    content, arrays = film(3)
    path = written(tmp_path / "a.v00", content)
    assert count_frames(path) == 3
    with pytest.raises(FetalPoseError, match="holds 3 volumes over time. Choose one, from 1 to 3"):
        read_kretz(path)
    for frame in (1, 2, 3):
        reading = read_kretz(path, frame=frame)
        np.testing.assert_array_equal(reading.volume.array, arrays[frame - 1])
        assert reading.frames == 3
    for frame in (0, 4, -1):
        with pytest.raises(FetalPoseError, match=f"no number {frame}"):
            read_kretz(path, frame=frame)


def test_a_single_volume_is_its_own_first_frame(tmp_path):
    path = written(tmp_path / "a.vol", kretz(toroidal()))
    assert count_frames(path) == 1
    assert_is_the_volume(read_kretz(path, frame=1))
    with pytest.raises(FetalPoseError, match="no number 2"):
        read_kretz(path, frame=2)


def test_a_number_of_frames_that_contradicts_the_frames_is_a_doubt(tmp_path):
    content, _ = film(3)
    content = content.replace(item(0xD400, 1, struct.pack("<I", 3)), item(0xD400, 1, struct.pack("<I", 7)))
    reading = read_kretz(written(tmp_path / "a.vol", content), frame=3)
    assert "states 7 frames and holds 3" in reading.doubts[-1].sentence


def test_a_single_volume_may_state_that_it_has_no_frames(tmp_path):
    items = toroidal() | {(0xD400, 1): bytes(2), (0xD600, 1): b""}
    reading = read_kretz(written(tmp_path / "a.vol", kretz(items)))
    assert_is_the_volume(reading)
    assert [doubt.code for doubt in reading.doubts] == ["sides"]


def test_angles_are_taken_from_their_middle_and_a_fan_aside_is_a_doubt(tmp_path):
    for centre, codes in ((np.pi / 2, ["sides"]), (0.0, ["sides"]), (1.2, ["sides", "middle"])):
        reading = read_kretz(written(tmp_path / "a.vol", kretz(toroidal_items(PROBE_VOLUME, centre=centre))))
        np.testing.assert_allclose(reading.volume.grid.theta, GRID.theta, atol=1e-12)
        np.testing.assert_allclose(reading.volume.grid.phi, GRID.phi, atol=1e-12)
        assert [doubt.code for doubt in reading.doubts] == codes


def test_padding_unknown_items_and_a_cut_after_the_voxels_do_no_harm(tmp_path):
    odd = kretz(toroidal() | {(0xD000, 1): ARRAY.tobytes() + b"\0", (0x1234, 0x5678): b"unknown"})
    assert_is_the_volume(read_kretz(written(tmp_path / "a.vol", odd + bytes(5))))
    cut = read_kretz(written(tmp_path / "b.vol", kretz(toroidal())[:-100]))  # within the filtered copy
    assert_is_the_volume(cut)
    assert cut.doubts[-1].code == "end"


def test_every_doubt_has_a_sentence():
    for code in SENTENCES:
        assert Doubt(code, "0.5").sentence.endswith(".") and "{" not in Doubt(code, "0.5").sentence
    with pytest.raises(ValueError, match="no doubt"):
        Doubt("weather")


# --- what is measured


@pytest.fixture(scope="module")
def estimator():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Estimator(device="cpu")
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("subject", [3, 8])
def test_the_pose_is_that_of_the_machines_own_scan_conversion(tmp_path, estimator, subject):
    """The same echoes, once as the probe sampled them and once as 0.5 mm voxels that the simulated machine made."""
    probe_volume, cartesian, truth = scanned("validation", subject)
    reading = read_kretz(written(tmp_path / "a.vol", kretz(toroidal_items(probe_volume))))
    found, expected = estimator.estimate(reading.volume), estimator.estimate(cartesian)
    assert (np.isfinite(found.points) == np.isfinite(expected.points)).all()
    assert np.nanmean(np.linalg.norm(found.points - expected.points, axis=1)) < 0.3
    assert np.nanmean(np.linalg.norm(found.points - truth, axis=1)) < 3.0


@pytest.mark.slow
def test_on_the_same_voxels_of_the_network_the_pose_is_the_same_even_where_they_decide(tmp_path, estimator):
    """A subject one of whose hands moves by millimetres when the network's voxels are shifted by half a voxel."""
    probe_volume, cartesian, _ = scanned("validation", 14)
    volume = read_kretz(written(tmp_path / "a.vol", kretz(toroidal_items(probe_volume)))).volume
    grid = canonical_grid(volume, 1.0)
    same_voxels = Volume(resample(cartesian, grid).numpy().astype(np.uint8), grid.affine)
    found, expected = estimator.estimate(volume), estimator.estimate(same_voxels)
    assert np.nanmean(np.linalg.norm(found.points - expected.points, axis=1)) < 0.3


@pytest.mark.slow
def test_the_command_line_and_its_process_read_the_same_samples(tmp_path, estimator):
    """Not the 0.5 mm voxels that the picture shows: then the network's input would be resampled twice."""
    probe_volume, _, _ = scanned("validation", 3)
    path = written(tmp_path / "a.vol", kretz(toroidal_items(probe_volume)))
    options = FileOptions(output=tmp_path / "pose.mrk.json")
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        found = estimate_file(client, path, options, EstimateOptions(device="cpu"))
    np.testing.assert_allclose(found.points, estimator.estimate(read_kretz(path).volume).points, atol=1e-3)


@pytest.mark.slow
def test_mirrored_exchanges_the_sides_of_the_pose(tmp_path, estimator):
    probe_volume, _, _ = scanned("validation", 3)
    path = written(tmp_path / "a.vol", kretz(toroidal_items(probe_volume)))
    plain, mirrored = (estimator.estimate(read_kretz(path, mirrored=side).volume) for side in (False, True))
    back = (mirrored.points * [-1, 1, 1])[estimator.library.skeleton.mirror]
    assert np.nanmedian(np.linalg.norm(back - plain.points, axis=1)) < 1.0


def test_the_scene_reads_a_kretz_file_and_keeps_its_doubts(tmp_path):
    path = written(tmp_path / "fetus.vol", kretz(toroidal()))
    node = mrml.read_volume(mrml.new_scene(), path)
    assert [doubt.code for doubt in mrml.doubts_of(node)][:1] == ["sides"]
    expected = scan_converted(read_kretz(path).volume, 0.5)
    read = mrml.volume_from_node(node)
    np.testing.assert_array_equal(read.array, expected.array)
    np.testing.assert_allclose(read.ijk_to_ras, expected.ijk_to_ras)


def test_the_scene_names_the_formats_of_others(tmp_path):
    with pytest.raises(FetalPoseError, match="Samsung.*formats.md"):
        mrml.read_volume(mrml.new_scene(), written(tmp_path / "fetus.mvl", b"anything"))
