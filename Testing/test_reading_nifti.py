"""NIfTI headers: one file or a pair, spacing, sides, units and time."""

import gzip
import struct

import numpy as np
import pytest
from volume_files import nifti, picture

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((6, 7, 8))
SFORM = np.array([[-0.9, 0, 0, 1], [0, -0.9, 0, 2], [0, 0, 0.9, 3]])
SAME_QFORM = (0, 0, 1, 1, 2, 3)  # half a turn about z
LEFT_HANDED = SFORM * [[-1], [1], [1]]


def reading(tmp_path, array=ARRAY, **options):
    (tmp_path / "a.nii").write_bytes(nifti(array, **options))
    return read(tmp_path / "a.nii")


def refusal(tmp_path, array=ARRAY, **options) -> str:
    (tmp_path / "a.nii").write_bytes(nifti(array, **options))
    with pytest.raises(FetalPoseError) as error:
        read(tmp_path / "a.nii")
    return str(error.value)


def test_sform_and_qform(tmp_path):
    for options in ({"sform": SFORM}, {"qform": SAME_QFORM}, {"sform": SFORM, "qform": SAME_QFORM}):
        read = reading(tmp_path, **options)
        np.testing.assert_allclose(read.volume.ijk_to_ras[:3], SFORM, atol=1e-6)
        assert not read.doubts
    mirrored = reading(tmp_path, qform=SAME_QFORM, pixdim=(-1, 0.9, 0.9, 0.9)).volume
    assert np.linalg.det(mirrored.ijk_to_ras[:3, :3]) < 0


def test_of_two_the_one_is_taken_that_slicer_takes(tmp_path):
    turned = (0, 0, 0, 5, 6, 7)
    scanner = reading(tmp_path, sform=SFORM, qform=turned, codes=(1, 1)).volume.ijk_to_ras
    atlas = reading(tmp_path, sform=SFORM, qform=turned, codes=(1, 4)).volume.ijk_to_ras
    np.testing.assert_allclose(scanner[:3], SFORM, atol=1e-6)
    np.testing.assert_allclose(atlas, [[0.9, 0, 0, 5], [0, 0.9, 0, 6], [0, 0, 0.9, 7], [0, 0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sform": LEFT_HANDED, "qform": SAME_QFORM}, "mirror each other"),
        ({"sform": LEFT_HANDED, "qform": SAME_QFORM, "codes": (1, 4)}, "mirror each other"),
        ({"sform": SFORM, "pixdim": (1, -0.9, 0.9, 0.9)}, "negative size"),
        ({"sform": SFORM, "pixdim": (1, 0.9, 0.9, 1.8)}, "two spacings"),
        ({"sform": SFORM, "pixdim": (1, 0, 0.9, 0.9)}, "impossible"),
        ({"pixdim": (1, np.nan, 0.9, 0.9)}, "impossible"),
        ({"sform": SFORM * 0}, "no usable directions"),
        ({"sform": SFORM * [[1], [0], [1]]}, "no usable directions"),
        ({"qform": (2, 2, 2, 0, 0, 0)}, "no rotation"),
        ({"qform": (np.nan, 0, 0, 0, 0, 0)}, "no rotation"),
        ({"intent": 1002}, "label map"),
        ({"datatype": (32, 64)}, "type 32, which is not read"),
        ({"datatype": (0, 0)}, "type 0"),
        ({"offset": np.inf}, "begin at byte inf"),
        ({"offset": -5.0}, "begin at byte -5"),
        ({"offset": np.nan}, "begin at byte nan"),
        ({"dim": (9, 8, 7, 6)}, "9 axes"),
        ({"dim": (3, -8, 7, 6)}, "axis of -8 voxels"),
        ({"dim": (2, 8, 42)}, "2D"),
        ({"dim": (3, 8, 7, 9)}, "holds 336 of the 504 bytes"),
        ({"magic": b"\0\0\0\0"}, "Analyze"),
    ],
)
def test_a_header_that_contradicts_itself_or_cannot_be_true_is_refused(tmp_path, options, message):
    assert message in refusal(tmp_path, **options)


@pytest.mark.parametrize(("code", "factor"), [(1, 1000), (2, 1), (3, 1e-3), (0, 1), (2 | 8, 1), (3 | 16, 1e-3)])
def test_the_unit_counts(tmp_path, code, factor):
    sizes = (1, *[0.9 / factor] * 3)
    for options in ({"sform": SFORM / factor}, {"qform": (0, 0, 1, *(np.array([1, 2, 3]) / factor))}):
        matrix = reading(tmp_path, pixdim=sizes, units=code, **options).volume.ijk_to_ras
        np.testing.assert_allclose(matrix[:3], SFORM, rtol=1e-5, atol=1e-6)


def test_without_an_orientation_the_sides_are_in_doubt_and_without_a_unit_one_is(tmp_path):
    assert [doubt.code for doubt in reading(tmp_path).doubts] == ["orientation"]
    assert [d.code for d in reading(tmp_path, units=0, pixdim=(1, 1, 1, 1)).doubts] == ["unit", "orientation"]
    assert not reading(tmp_path, sform=SFORM, units=0).doubts


def test_a_fourth_axis_is_time(tmp_path):
    two = np.stack([ARRAY, picture((6, 7, 8), seed=1)])
    assert "4D series of 2 volumes over time" in refusal(tmp_path, two, sform=SFORM)
    for frame in (1, 2):
        np.testing.assert_array_equal(read(tmp_path / "a.nii", frame=frame).volume.array, two[frame - 1])
    for dim in ((4, 8, 7, 6, 1), (5, 8, 7, 6, 1, 1), (7, 8, 7, 6, 1, 1, 1, 1)):
        np.testing.assert_array_equal(reading(tmp_path, sform=SFORM, dim=dim).volume.array, ARRAY)


def test_grey_in_three_channels_is_grey_and_colour_is_named(tmp_path):
    grey = np.repeat(ARRAY[..., None], 3, axis=-1)
    options = {"sform": SFORM, "datatype": (128, 24), "dim": (3, 8, 7, 6)}
    np.testing.assert_array_equal(reading(tmp_path, grey, **options).volume.array, ARRAY)
    opaque = np.concatenate([grey, np.full_like(ARRAY, 255)[..., None]], axis=-1)
    read = reading(tmp_path, opaque, **{**options, "datatype": (2304, 32)})
    np.testing.assert_array_equal(read.volume.array, ARRAY)
    grey[0, 0, 0, 2] += 1
    assert "several values per voxel" in refusal(tmp_path, grey, **options)


def test_vectors_are_no_volumes_over_time(tmp_path):
    vectors = np.stack([ARRAY, ARRAY + 1, ARRAY], axis=0)[:, None]
    assert "several values per voxel (3" in refusal(tmp_path, vectors, sform=SFORM, intent=1007)


@pytest.mark.parametrize("name", ["plain.nii.gz", "packed.nii", "packed.nii.gz", "PLAIN.NII"])
def test_the_contents_say_whether_a_file_is_compressed(tmp_path, name):
    data = nifti(ARRAY, sform=SFORM)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.startswith("packed") else data)
    np.testing.assert_array_equal(read(tmp_path / name).volume.array, ARRAY)


def test_a_pair_is_read_by_either_name(tmp_path):
    data = nifti(ARRAY, sform=SFORM, magic=b"ni1\0", offset=0.0)
    (tmp_path / "a.hdr").write_bytes(data[:348])
    (tmp_path / "a.img").write_bytes(ARRAY.tobytes())
    (tmp_path / "b.hdr").write_bytes(data[:348])
    (tmp_path / "b.img.gz").write_bytes(gzip.compress(ARRAY.tobytes()))
    for name in ("a.hdr", "a.img", "b.hdr", "b.img.gz"):
        np.testing.assert_array_equal(read(tmp_path / name).volume.array, ARRAY)
    (tmp_path / "a.img").write_bytes(ARRAY.tobytes()[:200])
    (tmp_path / "c.hdr").write_bytes(data[:348])
    (tmp_path / "d.img").write_bytes(ARRAY.tobytes())
    for name, message in (("a.hdr", "200 of the 336"), ("c.hdr", "c.img is missing"), ("d.img", "d.hdr is missing")):
        with pytest.raises(FetalPoseError, match=message):
            read(tmp_path / name)


def test_version_2(tmp_path):
    header = bytearray(544)
    struct.pack_into("<i8shh", header, 0, 540, b"n+2\0\r\n\x1a\n", 2, 8)
    struct.pack_into("<8q", header, 16, 3, 8, 7, 6, 1, 1, 1, 1)
    struct.pack_into("<8dq", header, 104, 1, 0.9, 0.9, 0.9, 0, 0, 0, 0, 544)
    struct.pack_into("<ii", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, *SFORM.ravel())
    struct.pack_into("<i", header, 500, 2)
    (tmp_path / "a.nii").write_bytes(bytes(header) + ARRAY.tobytes())
    volume = read(tmp_path / "a.nii").volume
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.ijk_to_ras[:3], SFORM)


def test_values_are_scaled_as_stated(tmp_path):
    np.testing.assert_allclose(reading(tmp_path, sform=SFORM, scaling=(2.0, -3.0)).volume.array, ARRAY * 2.0 - 3)
    for scaling in ((0.0, 5.0), (np.nan, 0.0), (1.0, 0.0)):
        assert reading(tmp_path, sform=SFORM, scaling=scaling).volume.array.dtype == np.uint8


def test_big_endian_files(tmp_path):
    array = ARRAY.astype(np.int16) - 100
    volume = reading(tmp_path, array, sform=SFORM, datatype=(4, 16), order=">").volume
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.ijk_to_ras[:3], SFORM, atol=1e-6)
