"""MetaImage headers."""

import zlib

import numpy as np
import pytest
from volume_files import metaimage, picture

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((6, 7, 8))
LPS = np.diag([-0.9, -0.9, 0.9, 1])


def reading(tmp_path, **fields):
    (tmp_path / "a.mha").write_bytes(metaimage(ARRAY, **fields))
    return read(tmp_path / "a.mha")


def refusal(path) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path)
    return str(error.value)


def test_the_rows_of_the_transform_are_the_axes_in_lps(tmp_path):
    fields = {"TransformMatrix": "0 1 0 -1 0 0 0 0 1", "Offset": "1 2 3", "ElementSpacing": "0.5 0.6 0.7"}
    matrix = reading(tmp_path, **fields).volume.ijk_to_ras
    np.testing.assert_allclose(matrix, [[0, 0.6, 0, -1], [-0.5, 0, 0, -2], [0, 0, 0.7, 3], [0, 0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "factor"), [("um", 1e-3), ("microns", 1e-3), ("cm", 10), ("mm", 1), ("?", 1), ("Meters", 1000)]
)
def test_the_unit_counts(tmp_path, unit, factor):
    stated = " ".join([f"{0.9 / factor:.9g}"] * 3)
    read = reading(tmp_path, ElementSpacing=stated, DistanceUnits=unit)
    np.testing.assert_allclose(read.volume.ijk_to_ras, LPS, rtol=1e-6)


def test_names_of_fields_in_capitals_and_windows_line_ends_are_read(tmp_path):
    header, data = metaimage(ARRAY).split(b"LOCAL\n", 1)
    lines = [line.split(b" = ") for line in header.split(b"\n")]
    shouted = b"\r\n".join(b" = ".join([words[0].upper(), *words[1:]]) for words in lines)
    (tmp_path / "a.mha").write_bytes(shouted + b"LOCAL\n" + data)
    np.testing.assert_array_equal(read(tmp_path / "a.mha").volume.array, ARRAY)


def test_element_size_stands_in_for_the_spacing_and_nothing_else_does(tmp_path):
    read = reading(tmp_path, ElementSpacing=None, ElementSize="0.9 0.9 0.9")
    np.testing.assert_allclose(read.volume.ijk_to_ras, LPS)
    (tmp_path / "a.mha").write_bytes(metaimage(ARRAY, ElementSpacing=None))
    assert "states no voxel spacing" in refusal(tmp_path / "a.mha")


def test_voxels_in_other_files(tmp_path):
    raw = ARRAY.tobytes()
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "one 100%.raw").write_bytes(raw)
    (folder / "header.raw").write_bytes(b"seventeen letters" + raw)
    (folder / "packed.zraw").write_bytes(zlib.compress(raw))
    for k in range(6):
        (folder / f"p{k + 1:03d}.raw").write_bytes(raw[k * 56 : (k + 1) * 56])
    listed = "LIST\n" + "\n".join(f"my data/p{k + 1:03d}.raw" for k in range(6))
    for data_file, fields in [
        ("my data/one 100%.raw", {}),
        ("my data/header.raw", {"HeaderSize": "17"}),
        ("my data/header.raw", {"HeaderSize": "-1"}),
        ("my data/packed.zraw", {"CompressedData": "True"}),
        ("my data/p%03d.raw 1 6 1", {}),
        ("my data/p%03d.raw", {}),
        (listed, {}),
    ]:
        (tmp_path / "a.mhd").write_bytes(metaimage(ARRAY, ElementDataFile=data_file, **fields))
        np.testing.assert_array_equal(read(tmp_path / "a.mhd").volume.array, ARRAY)


@pytest.mark.parametrize(
    ("data_file", "message"),
    [
        ("gone.raw", "gone.raw is missing"),
        ("%n%n%s.raw 1 3 1", "must hold one number"),
        ("%99999d.raw 1 3 1", "must hold one number"),
        ("p%d.raw 0 999999999 1", "counts its data files from 0"),
        ("p%d.raw 0 5 0", "counts its data files"),
        ("-", "names no file"),
        ("/dev/zero", "pipe or a device"),
        (".", "a folder"),
        ("LIST", "none does"),
        ("LIST\nshort.raw\nshort.raw\nshort.raw\nshort.raw\nshort.raw", "cannot hold equal parts"),
        ("short.raw", "holds 55 of the 336 bytes"),
        ("empty.raw", "is empty"),
    ],
)
def test_a_data_file_that_cannot_be_is_refused_by_name(tmp_path, data_file, message):
    (tmp_path / "short.raw").write_bytes(ARRAY.tobytes()[:55])
    (tmp_path / "empty.raw").touch()
    (tmp_path / "a.mhd").write_bytes(metaimage(ARRAY, ElementDataFile=data_file))
    assert message in refusal(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"NDims": "0"}, "must be 1 or more"),
        ({"NDims": "-1"}, "must be 1 or more"),
        ({"NDims": "1000000000"}, "1000000000 axes"),
        ({"NDims": "%s%n"}, "no whole numbers"),
        ({"DimSize": "-8 7 6"}, "must be 1 or more"),
        ({"DimSize": "8 7"}, "2 sizes for 3 axes"),
        ({"DimSize": "8 7 1e3"}, "no whole numbers"),
        ({"DimSize": "8 7 99999999999999999999"}, "no whole numbers"),
        ({"ElementType": "MET_STRING"}, "which is not read"),
        ({"ElementType": None}, "which is not read"),
        ({"ElementSpacing": "0 1 1"}, "impossible"),
        ({"ElementSpacing": "nan 1 1"}, "impossible"),
        ({"ElementSpacing": "inf 1 1"}, "impossible"),
        ({"ElementSpacing": "1 1"}, "2 spacings"),
        ({"ElementSpacing": "one 1 1"}, "no numbers"),
        ({"DistanceUnits": "pixel"}, "no unit of length"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "do not span space"),
        ({"TransformMatrix": "1 0 0"}, "3 numbers, not 9"),
        ({"Offset": "nan 0 0"}, "no number"),
        ({"ObjectType": "Tube"}, "not an image"),
        ({"CompressedData": "True", "CompressedDataSize": "10000000000000"}, "are left"),
        ({f"Key{k}": "v" for k in range(11_000)}, "more than 10000 fields"),
        ({"Comment": "x" * (2 << 20)}, "does not end within"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(tmp_path, fields, message):
    (tmp_path / "a.mha").write_bytes(metaimage(ARRAY, **fields))
    assert message in refusal(tmp_path / "a.mha")


def test_frames_of_a_tracked_probe_are_no_slices(tmp_path):
    tracked = {f"Seq_Frame{k:04d}_ImageStatus": "OK" for k in range(6)}
    (tmp_path / "a.mha").write_bytes(metaimage(ARRAY, **tracked))
    assert "6 2D frames over time or of a moving probe" in refusal(tmp_path / "a.mha")
    long = {
        f"Seq_Frame{k:05d}_Transform": "1 0 0 0 1 0 0 0 1 0 0 0" for k in range(40_000)
    }  # beyond the longest header
    (tmp_path / "b.mha").write_bytes(metaimage(ARRAY, **long))
    assert "2D frames over time" in refusal(tmp_path / "b.mha")
    (tmp_path / "c.mha").write_bytes(metaimage(ARRAY, Kinds="domain domain list"))
    assert "6 2D frames over time" in refusal(tmp_path / "c.mha")


def test_one_tracked_volume_is_a_volume(tmp_path):
    np.testing.assert_array_equal(reading(tmp_path, Seq_Frame0000_ImageStatus="OK").volume.array, ARRAY)


def test_volumes_over_time_are_read_one_at_a_time(tmp_path):
    two = np.stack([ARRAY, picture((6, 7, 8), seed=1)])
    (tmp_path / "a.mha").write_bytes(metaimage(two, ElementSpacing="0.9 0.9 0.9 1"))
    assert "4D series of 2 volumes" in refusal(tmp_path / "a.mha")
    for frame in (1, 2):
        read_one = read(tmp_path / "a.mha", frame=frame)
        np.testing.assert_array_equal(read_one.volume.array, two[frame - 1])
        assert read_one.frames == 2 and not read_one.doubts


@pytest.mark.parametrize(
    ("fields", "doubtful"),
    [
        ({"AnatomicalOrientation": "RAI"}, False),
        ({"AnatomicalOrientation": "RAI", "TransformMatrix": None}, False),
        ({"AnatomicalOrientation": "LAI"}, True),
        ({"TransformMatrix": None}, True),
        ({"TransformMatrix": "-1 0 0 0 1 0 0 0 1", "AnatomicalOrientation": "LAI"}, False),
        ({"AnatomicalOrientation": "???"}, False),
    ],
)
def test_sides_that_the_header_contradicts_or_leaves_open_are_doubtful(tmp_path, fields, doubtful):
    assert [doubt.code for doubt in reading(tmp_path, **fields).doubts] == ["orientation"] * doubtful


def test_surplus_bytes_and_a_single_millimetre_are_doubtful(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"seventeen letters" + ARRAY.tobytes())
    (tmp_path / "a.mhd").write_bytes(metaimage(ARRAY, ElementDataFile="a.raw", ElementSpacing="0.9 0.9 1"))
    assert [(doubt.code, doubt.value) for doubt in read(tmp_path / "a.mhd").doubts] == [
        ("one_mm", "0.9 x 0.9 x 1"),
        ("surplus", "17"),
    ]


@pytest.mark.parametrize("order", ["True", "False"])
def test_byte_order_and_types(tmp_path, order):
    array = np.arange(-5, 331, dtype=">i2" if order == "True" else "<i2").reshape(6, 7, 8)
    (tmp_path / "a.mha").write_bytes(metaimage(array, ElementType="MET_SHORT", BinaryDataByteOrderMSB=order))
    read_array = read(tmp_path / "a.mha").volume.array
    assert read_array.dtype == np.int16 and read_array.dtype.isnative
    np.testing.assert_array_equal(read_array, array)
