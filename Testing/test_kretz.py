"""GE Kretz files: read as they are, or refused with a reason; and measured like the volume that they were made from."""

import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from traceback import format_exception

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kretz_files import (
    HOSPITAL,
    PATIENT,
    cartesian_items,
    convex,
    dicom,
    doubles,
    item,
    kretz,
    scanned,
    toroidal_items,
    zipped,
)

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.reading import foreign
from FetalPoseLib.reading.doubts import SENTENCES, Doubt
from FetalPoseLib.reading.foreign import FORMATS_PAGE, check_not_foreign
from FetalPoseLib.reading.kretz import count_frames, is_kretz, read_kretz
from FetalPoseLib.volume.grid import Volume, canonical_grid
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.volume.resampling import resample

GRID = convex(samples=13, beams=11, fans=7, step=2.5)
ARRAY = np.random.default_rng(1).integers(1, 255, GRID.array_shape, dtype=np.uint8)
PROBE_VOLUME = ProbeVolume(ARRAY, GRID)
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def written(path, content: bytes):
    path.write_bytes(content)
    return path


def toroidal(**changes) -> dict:
    return toroidal_items(PROBE_VOLUME) | changes


def changed(tag, data) -> bytes:
    """A toroidal file with one item replaced, or left out if ``data`` is None."""
    items = toroidal_items(PROBE_VOLUME)
    if data is None:
        del items[tag]
    else:
        items[tag] = data
    return kretz(items)


def film(frames: int) -> tuple[bytes, np.ndarray]:
    arrays = np.random.default_rng(2).integers(1, 255, (frames, *GRID.array_shape), dtype=np.uint8)
    items = toroidal() | {(0xD400, 1): struct.pack("<I", frames), (0xD600, 1): arrays.tobytes()}
    return kretz(items), arrays


def assert_is_the_volume(reading, *, mirrored=False):
    volume = reading.volume
    np.testing.assert_array_equal(volume.array, ARRAY)
    voxels = np.stack(np.indices(GRID.shape), axis=-1)
    expected = GRID.to_world(voxels) * ([-1, 1, 1] if mirrored else 1)
    np.testing.assert_allclose(volume.grid.to_world(voxels), expected, atol=1e-9)
    assert not reading.sides_confirmed


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


# --- what is refused

HUGE = struct.pack("<H", 65535)
REFUSED = {
    "empty": (b"", "is no Kretz file"),
    "another format": (b"NRRD0004\n" * 100, "is no Kretz file"),
    "another version": (b"KRETZFILE 2.0   " + kretz(toroidal())[16:], "another version"),
    "nothing but the signature": (kretz({}), "states no size"),
    "no size": (changed((0xC000, 2), None), "states no size"),
    "a size of 0": (changed((0xC000, 2), bytes(2)), "states no size"),
    "one fan": (changed((0xC000, 3), struct.pack("<H", 1)), "no volume"),
    "huge sizes": (
        kretz(toroidal() | {(0xC000, axis): HUGE for axis in (1, 2, 3)}),
        "65535 x 65535 x 65535 voxels, more than any machine",
    ),
    "a size beyond the voxels": (changed((0xC000, 1), struct.pack("<H", 14)), "compressed"),
    "no radial step": (changed((0xC100, 1), None), "states no distance between samples"),
    "a radial step in mm": (changed((0xC100, 1), doubles(0.9)), "900 mm between samples"),
    "a step that is no number": (changed((0xC100, 1), doubles(np.nan)), "states no distance between samples"),
    "no first sample": (changed((0xC200, 1), None), "states no distance of the first sample"),
    "a first sample far off": (changed((0xC200, 1), doubles(1e9)), "600 mm is the most"),
    "no sweep axis": (changed((0xC200, 2), None), "states no axis of the sweep"),
    "beams but no fans": (changed((0xC300, 1), None), "no angles of its fans"),
    "fans but no beams": (changed((0xC300, 2), None), "no angles of its beams"),
    "too few angles": (changed((0xC300, 2), doubles(*GRID.theta[:-1])), "states 10 angles of beams where 11"),
    "half an angle": (changed((0xC300, 2), bytes(84)), "states 10.5 angles of beams"),
    "angles in degrees": (changed((0xC300, 2), doubles(*np.degrees(GRID.theta))), "less than 90"),
    "angles that are no numbers": (changed((0xC300, 2), doubles(*([np.nan] * 11))), "no numbers"),
    "angles all equal": (changed((0xC300, 2), doubles(*([1.5] * 11))), "neither rise nor fall"),
    "a Cartesian file without spacing": (
        kretz({k: v for k, v in cartesian_items(ARRAY, 1).items() if k != (0x10, 0x22)}),
        "states no voxel spacing",
    ),
    "a spacing in m": (kretz(cartesian_items(ARRAY, 0.00045)), "voxels of 0.00045 mm"),
    "compressed voxels elsewhere": (
        kretz({tag: data for tag, data in toroidal().items() if tag != (0xD000, 1)} | {(0xD100, 1): b"wavelet"}),
        "compressed .wavelet.*'Wavelet compression' set to None",
    ),
    "compressed voxels in their place": (changed((0xD000, 1), ARRAY.tobytes()[:300]), "compressed .wavelet"),
    "compressed frames": (kretz(toroidal() | {(0xD600, 1): bytes(2500)}), "no whole number of frames"),
    "voxels twice": (kretz(toroidal()) + item(0xD000, 1, ARRAY.tobytes()), "stands there twice"),
    "items without end": (kretz({}) + item(1, 1, b"") * 100_001, "more than 100000 items"),
    "a DICOM file of another kind": (dicom(b"12", creator=b"ACME"), "without a GE Kretz volume"),
    "a GE movie group": (dicom(b"12", creator=b"GEMS_Ultrasound_MovieGroup_001"), "movie group"),
    "a DICOM file without its end": (dicom(kretz(toroidal()))[:-200], "cut short|damaged DICOM"),
    "a DICOM file without anything": (bytes(128) + b"DICM", "DICOM file"),
    "a DICOM file with something else": (dicom(b"no Kretz file at all"), "does not start as Kretz"),
    "a deflated DICOM file": (
        dicom(kretz(toroidal())).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"),
        "deflated",
    ),
    "a zip of nothing": (zipped(), "zip without a GE Kretz volume"),
    "a zip of two": (zipped(kretz(toroidal()), kretz(toroidal())), "zip of 2 volumes. Unpack it"),
    "a damaged zip": (zipped(kretz(toroidal()))[:-30], "damaged or encrypted zip"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_believed_is_refused_with_the_reason(tmp_path, case):
    content, reason = REFUSED[case]
    path = written(tmp_path / "bad.vol", content)
    with pytest.raises(FetalPoseError, match=f"The volume .*bad.vol cannot be read. .*({reason})"):
        read_kretz(path)


@pytest.mark.parametrize("end", range(20, len(kretz(toroidal())) - ARRAY.size - 8, 97))
def test_a_file_that_was_cut_short_before_its_voxels_end_is_refused(tmp_path, end):
    with pytest.raises(FetalPoseError):
        read_kretz(written(tmp_path / "a.vol", kretz(toroidal())[:end]))


def test_a_byte_changed_within_a_zip_is_noticed(tmp_path):
    content = bytearray(zipped(kretz(toroidal()), compress=False))
    content[bytes(content).index(ARRAY.tobytes()) + 500] ^= 0x55
    with pytest.raises(FetalPoseError, match="damaged") as refusal:
        read_kretz(written(tmp_path / "a.4dv", bytes(content)))
    traceback = "".join(format_exception(refusal.value))
    assert "damaged" in traceback and PATIENT.decode() not in traceback  # the member is named after her


def test_an_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zipped(kretz(toroidal())))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := bytes(content).find(signature, start)) >= 0:
            content[start + offset] |= 1
            start += 4
    with pytest.raises(FetalPoseError, match="encrypted"):
        read_kretz(written(tmp_path / "a.4dv", bytes(content)))


def test_folders_pipes_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.vol")
    for name in (".", "pipe.vol", "missing.vol"):
        with pytest.raises(FetalPoseError, match="no file"):
            read_kretz(tmp_path / name)
        assert not is_kretz(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a.mvl", "A.MVL", "b.cin", "c.frm", "d.3dd", "e.3dv", "f.3dus", "BC_CinePartition0.bin"]
)
def test_formats_of_other_makers_are_refused_with_the_page_that_helps(name):
    with pytest.raises(FetalPoseError, match="is an? .*formats.md") as refusal:
        check_not_foreign(name)
    assert FORMATS_PAGE in str(refusal.value)
    check_not_foreign("a.vol")
    check_not_foreign("folder")


def test_the_page_that_helps_knows_every_format_that_is_refused():
    page = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    assert FORMATS_PAGE.endswith("/docs/formats.md")
    for suffix in [*foreign._SUFFIXES, ".vol", ".v00", ".4dv", "BC_CinePartition0.bin"]:
        assert f"`{suffix}`" in page


def test_declared_sizes_take_no_memory(tmp_path):
    """Gigabytes are declared in files of kilobytes; the reader's process stays small."""
    bombs = {
        "sizes.vol": kretz(toroidal() | {(0xC000, axis): HUGE for axis in (1, 2, 3)}),
        "item.vol": kretz({}) + struct.pack("<HHI", 0xD000, 1, 0xFFFFFFF0) + bytes(1000),
        "angles.vol": kretz({}) + struct.pack("<HHI", 0xC300, 1, 0xFFFFFFF8) + bytes(1000),
        "element.dcm": dicom(b"KRETZFILE 1.0   ").replace(
            struct.pack("<HH2sHI", 0x7FE1, 0x1101, b"OB", 0, 16),
            struct.pack("<HH2sHI", 0x7FE1, 0x1101, b"OB", 0, 2**31),
        ),
    }
    with (
        zipfile.ZipFile(tmp_path / "zeros.4dv", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a", "w") as member,
    ):
        member.write(kretz({}) + struct.pack("<HHI", 0xD600, 1, 300 * 2**20))
        for _ in range(300):
            member.write(bytes(2**20))
    for name, content in bombs.items():
        written(tmp_path / name, content)
    code = (
        "import resource, sys\n"
        "from FetalPoseLib.errors import FetalPoseError\n"
        "from FetalPoseLib.reading.kretz import read_kretz\n"
        "import pydicom.filereader\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        read_kretz(path)\n        sys.exit(path)\n"
        "    except FetalPoseError:\n        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    paths = [str(tmp_path / name) for name in [*bombs, "zeros.4dv"]]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50_000  # kB


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_bytes_end_in_a_volume_or_in_a_clean_error(tmp_path, data):
    plain = kretz(toroidal())
    content = bytearray(data.draw(st.sampled_from([plain, dicom(plain), zipped(plain), film(2)[0]])))
    for _ in range(data.draw(st.integers(1, 6))):
        first = data.draw(st.integers(0, min(len(content), 1500) - 1))  # where the structure is
        content[first] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path = written(tmp_path / "fuzzed", bytes(content))
    try:
        volume = read_kretz(path, frame=1).volume
    except FetalPoseError as error:
        assert str(path) in str(error)
        assert PATIENT.decode() not in str(error) and HOSPITAL.decode() not in str(error)
    else:
        assert volume.array.shape == volume.grid.array_shape


# --- whom it shows


def everything_said(value, depth=5) -> str:
    """All that can be read off an object and what it holds, arrays' bytes included."""
    if isinstance(value, np.ndarray):
        return value.tobytes().decode("latin-1")
    said = repr(value) + str(value)
    if depth and hasattr(value, "__dict__"):
        said += "".join(everything_said(inner, depth - 1) for inner in vars(value).values())
    if depth and isinstance(value, tuple):
        said += "".join(everything_said(inner, depth - 1) for inner in value)
    return said


@pytest.mark.parametrize("wrap", [lambda content: content, dicom, zipped])
def test_nothing_of_the_patient_is_read(tmp_path, wrap, recwarn, caplog, capfd):
    content = wrap(kretz(toroidal()))
    said = everything_said(read_kretz(written(tmp_path / "a", content)))
    for broken in (content[: len(content) // 2], content[:-9], wrap(changed((0xD000, 1), b"x"))):
        try:
            read_kretz(written(tmp_path / "b", broken))
        except FetalPoseError as error:
            said += "".join(format_exception(error))
    said += caplog.text + "".join(str(warning.message) for warning in recwarn) + "".join(capfd.readouterr())
    assert PATIENT.decode()[:10] not in said and HOSPITAL.decode() not in said and "19800229" not in said


def test_the_patients_items_are_stepped_over_not_read(tmp_path):
    """A stream that ends the test if the bytes of group 0110 are touched."""
    from FetalPoseLib.reading.kretz_items import KretzItems

    content = kretz(toroidal())
    path = written(tmp_path / "a.vol", content)
    places = [range(start, start + len(PATIENT)) for start in range(len(content)) if content.startswith(PATIENT, start)]
    assert len(places) == 3

    class Guarded:
        def __init__(self, stream):
            self.stream = stream

        def seek(self, *arguments):
            return self.stream.seek(*arguments)

        def read(self, count):
            first = self.stream.tell()
            assert not any(first < place.stop and place.start < first + count for place in places)
            return self.stream.read(count)

    with open(path, "rb", buffering=0) as stream:
        items = KretzItems.find(Guarded(stream), 0, len(content))
    assert (0x0110, 1) not in items


def test_reading_needs_neither_slicer_nor_torch():
    code = (
        "import sys\nimport FetalPoseLib.reading.kretz, FetalPoseLib.reading.foreign\n"
        "import FetalPoseLib.volume.probe_resampling\n"
        "print({'torch', 'slicer', 'vtk'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


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
def test_mirrored_exchanges_the_sides_of_the_pose(tmp_path, estimator):
    probe_volume, _, _ = scanned("validation", 3)
    path = written(tmp_path / "a.vol", kretz(toroidal_items(probe_volume)))
    plain, mirrored = (estimator.estimate(read_kretz(path, mirrored=side).volume) for side in (False, True))
    back = (mirrored.points * [-1, 1, 1])[estimator.library.skeleton.mirror]
    assert np.nanmedian(np.linalg.norm(back - plain.points, axis=1)) < 1.0
