"""NRRD headers."""

import gzip

import numpy as np
import pytest
from volume_files import nrrd, picture

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((6, 7, 8))
LPS = np.diag([-0.9, -0.9, 0.9, 1])
NO_SPACE = {"space": None, "space_directions": None}


def reading(tmp_path, *lines, array=ARRAY, frame=None, **fields):
    (tmp_path / "a.nrrd").write_bytes(nrrd(array, *lines, **fields))
    return read(tmp_path / "a.nrrd", frame=frame)


def refusal(path) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("space", "to_ras"),
    [
        ("left-posterior-superior", [-1, -1, 1]),
        ("LPS", [-1, -1, 1]),
        ("right-anterior-superior", [1, 1, 1]),
        ("LAS", [-1, 1, 1]),
        ("Left-Anterior-Superior", [-1, 1, 1]),
        ("scanner-xyz", [-1, -1, 1]),
        ("3D-right-handed", [-1, -1, 1]),
    ],
)
def test_the_space_says_which_way_the_axes_point(tmp_path, space, to_ras):
    read = reading(tmp_path, space=space)
    np.testing.assert_allclose(read.volume.ijk_to_ras, np.diag([*np.multiply(to_ras, 0.9), 1]))
    assert read.doubts == ()


def test_a_left_handed_space_that_names_no_side_is_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, space="3D-left-handed"))
    assert "does not say which side is left" in refusal(tmp_path / "a.nrrd")


def test_without_a_space_the_sides_are_in_doubt(tmp_path):
    for fields in ({**NO_SPACE, "spacings": "0.9 0.9 0.9"}, {"space": None, "space_dimension": "3"}):
        read = reading(tmp_path, **fields)
        np.testing.assert_allclose(read.volume.ijk_to_ras, LPS)
        assert [doubt.code for doubt in read.doubts] == ["orientation"]


@pytest.mark.parametrize("name", ["Space Directions", "spacedirections", "SPACE DIRECTIONS"])
def test_names_of_fields_in_any_spelling(tmp_path, name):
    read = reading(tmp_path, f"{name}: (0.9, 0, 0) (0 ,0.9,0) (0,0,0.9)", space_directions=None)
    np.testing.assert_allclose(read.volume.ijk_to_ras, LPS)


@pytest.mark.parametrize(
    ("unit", "factor"), [("um", 1e-3), ("microns", 1e-3), ("cm", 10), ("m", 1000), ("mm", 1), ("", 1)]
)
def test_the_unit_counts(tmp_path, unit, factor):
    size, units = 0.9 / factor, f'"{unit}" "{unit}" "{unit}"'
    vectors = f"({size:.9g},0,0) (0,{size:.9g},0) (0,0,{size:.9g})"
    for fields in (
        {"space_directions": vectors, "space_units": units},
        {**NO_SPACE, "spacings": f"{size:.9g} {size:.9g} {size:.9g}", "units": units},
    ):
        np.testing.assert_allclose(reading(tmp_path, **fields).volume.ijk_to_ras, LPS, rtol=1e-6)


def test_ones_without_unit_or_space_are_in_doubt(tmp_path):
    read = reading(tmp_path, spacings="1 1 1", **NO_SPACE)
    assert [doubt.code for doubt in read.doubts] == ["unit", "orientation"]
    read = reading(tmp_path, spacings="1 1 1", units='"mm" "mm" "mm"', **NO_SPACE)
    assert [doubt.code for doubt in read.doubts] == ["orientation"]


def test_units_of_other_axes_are_no_lengths(tmp_path):
    fields = {"dimension": "4", "sizes": "1 8 7 6", "kinds": "time domain domain domain", **NO_SPACE}
    read = reading(tmp_path, spacings="40 900 900 900", units='"ms" "um" "um" "um"', **fields)
    np.testing.assert_allclose(read.volume.ijk_to_ras, LPS)


def test_a_single_frame_may_stand_on_any_axis(tmp_path):
    vectors = "(0.9,0,0) (0,0.9,0) (0,0,0.9)"
    for fields in (
        {"sizes": "1 8 7 6", "space directions": f"none {vectors}", "kinds": "list domain domain domain"},
        {"sizes": "1 8 7 6", "space directions": f"none {vectors}", "kinds": "vector domain domain domain"},
        {"sizes": "8 7 6 1", "space directions": f"{vectors} none", "kinds": "domain domain domain list"},
        {"sizes": "8 7 6 1", "space directions": f"{vectors} (nan,nan,nan)"},
        {"sizes": "8 7 6 1", "spacings": "0.9 0.9 0.9 nan", "kinds": "domain domain domain list", **NO_SPACE},
        {"sizes": "1 8 7 6", "spacings": "nan 0.9 0.9 0.9", "kinds": "list domain domain domain", **NO_SPACE},
        {
            "sizes": "8 7 6 1",
            "space": "left-posterior-superior-time",
            "space directions": "(0.9,0,0,0) (0,0.9,0,0) (0,0,0.9,0) (0,0,0,1)",
        },
    ):
        read = reading(tmp_path, **{"dimension": "4", **fields})
        np.testing.assert_array_equal(read.volume.array, ARRAY)
        np.testing.assert_allclose(read.volume.ijk_to_ras, LPS)


def test_volumes_over_time_are_read_one_at_a_time(tmp_path):
    two = np.stack([ARRAY, picture((6, 7, 8), seed=1)], axis=-1)
    fields = {"space_directions": "none (0.9,0,0) (0,0.9,0) (0,0,0.9)", "kinds": "list domain domain domain"}
    (tmp_path / "b.nrrd").write_bytes(nrrd(two, **fields))
    assert "4D series of 2 volumes over time" in refusal(tmp_path / "b.nrrd")
    for frame in (1, 2):
        read = reading(tmp_path, array=two, frame=frame, **fields)
        np.testing.assert_array_equal(read.volume.array, two[..., frame - 1])


def test_frames_over_time_are_no_slices(tmp_path):
    for fields in (
        {"space_directions": "(0.9,0,0) (0,0.9,0) none", "kinds": "domain domain list"},
        {"spacings": "0.9 0.9 1", "kinds": "space space time", **NO_SPACE},
    ):
        (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, **fields))
        assert "6 2D frames over time or of a moving probe" in refusal(tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, *(f"Seq_Frame{k:04d}_Timestamp:={k}" for k in range(6))))
    assert "2D frames over time" in refusal(tmp_path / "a.nrrd")


@pytest.mark.parametrize("kind", ["RGB-color", "vector", "3-color"])
def test_grey_in_three_channels_is_grey_and_colour_is_named(tmp_path, kind):
    fields = {"kinds": f"{kind} domain domain domain", "space_directions": "none (0.9,0,0) (0,0.9,0) (0,0,0.9)"}
    grey = np.repeat(ARRAY[..., None], 3, axis=-1)
    np.testing.assert_array_equal(reading(tmp_path, array=grey, **fields).volume.array, ARRAY)
    colour = grey.copy()
    colour[3, 3, 3, 1] += 1
    (tmp_path / "b.nrrd").write_bytes(nrrd(colour, **fields))
    assert "several values per voxel" in refusal(tmp_path / "b.nrrd")


def test_voxels_in_other_files(tmp_path):
    raw = ARRAY.tobytes()
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "one.raw").write_bytes(raw)
    (tmp_path / "skip.raw").write_bytes(b"two\nlines\n" + raw)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"xyz" + raw))
    for k in range(2):
        (tmp_path / f"s{k}.raw").write_bytes(raw[k * 168 : (k + 1) * 168])
    for lines, fields in [
        (["data file: my data/one.raw"], {}),
        (["line skip: 2", "data file: skip.raw"], {}),
        (["byte skip: -1", "data file: skip.raw"], {}),
        (["byte skip: 3", "datafile: packed.gz"], {"encoding": "gzip"}),
        (["data file: s%d.raw 0 1 1 3"], {}),
        (["Data File: s%d.raw 0 1 1"], {}),
    ]:
        (tmp_path / "a.nhdr").write_bytes(nrrd(ARRAY, *lines, payload=b"", **fields))
        np.testing.assert_array_equal(read(tmp_path / "a.nhdr").volume.array, ARRAY)
    listed = nrrd(ARRAY, "data file: LIST 3", "s0.raw", "s1.raw", payload=b"").rstrip() + b"\n"
    (tmp_path / "a.nhdr").write_bytes(listed)
    np.testing.assert_array_equal(read(tmp_path / "a.nhdr").volume.array, ARRAY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data file: -", "names no file"),
        ("data file: not there.raw", "not there.raw is missing"),
        ("data file: s%s%n.raw 0 1 1", "must hold one number"),
        ("data file: /dev/zero", "pipe or a device"),
        ("data file: LIST", "none does"),
    ],
)
def test_a_data_file_that_cannot_be_is_refused_by_name(tmp_path, line, message):
    (tmp_path / "a.nhdr").write_bytes(nrrd(ARRAY, line, payload=b""))
    assert message in refusal(tmp_path / "a.nhdr")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": "2147483648 1 1"}, "axis of 2147483648"),
        ({"sizes": "0 7 6"}, "must be 1 or more"),
        ({"sizes": "8 7"}, "2 sizes for 3 axes"),
        ({"dimension": None}, "dimension"),
        ({"dimension": "17"}, "17 axes"),
        ({"type": "block"}, "which is not read"),
        ({"type": "short", "endian": None}, "order of its bytes"),
        ({"encoding": "zrl"}, "encoding 'zrl' is not read"),
        ({"space": "north-east-up"}, "none that the format knows"),
        ({"space_directions": None}, "states no voxel spacing"),
        ({"space_directions": "none (0,0.9,0) (0,0,0.9)"}, "2D"),
        ({"space_directions": "none (0,1,0) (0,0,1)", "kinds": "domain domain domain"}, "direction along every axis"),
        ({"space_directions": "(0.9,0,0) (0.9,0,0) (0,0,0.9)"}, "do not span space"),
        ({"space_directions": "(0,0,0) (0,0.9,0) (0,0,0.9)"}, "impossible"),
        ({"space_directions": "(inf,0,0) (0,0.9,0) (0,0,0.9)"}, "impossible"),
        ({"space_directions": "(0.9,0,0) (0,0.9,0)"}, "2 space directions for 3 axes"),
        ({"space_directions": "(0.9,0,0) (0,0.9,0) (0,0,0.9" + "(" * 900}, "are no vectors"),
        ({"space_origin": "(nan,0,0)"}, "no number"),
        ({"spacings": "1 1 1"}, "states two spacings"),
        ({"space_units": '"pixel" "pixel" "pixel"'}, "no unit of length"),
        ({"kinds": "domain domain"}, "2 kinds for 3 axes"),
        ({"content": "x" * (2 << 20)}, "does not end within"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(tmp_path, fields, message):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, **fields))
    assert message in refusal(tmp_path / "a.nrrd")


def test_keys_without_number_are_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, *(f"k{i}:=v" for i in range(100_000))))
    assert "more than 10000 fields" in refusal(tmp_path / "a.nrrd")


def test_a_field_stated_twice_and_differently_is_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, "sizes: 8 6 7"))
    assert "twice and differently" in refusal(tmp_path / "a.nrrd")


def test_keys_of_any_kind_are_passed_over(tmp_path):
    pairs = ("DICOM:series:=a", "DICOM:series:=b", "a key: with:=c", "=:=", "# sizes: 1 1 1", "content:anything")
    np.testing.assert_array_equal(reading(tmp_path, *pairs).volume.array, ARRAY)


def test_a_segmentation_is_named(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, "Segment0_ID:=fetus"))
    assert "segmentation" in refusal(tmp_path / "a.nrrd")


def test_a_sheared_volume_keeps_its_shear(tmp_path):
    matrix = reading(tmp_path, space_directions="(0.9,0,0) (0.2,0.9,0) (0,0,0.9)").volume.ijk_to_ras
    np.testing.assert_allclose(matrix[:3, 1], [-0.2, -0.9, 0])


@pytest.mark.parametrize("encoding", ["raw", "hex", "ascii"])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<f4", ">f8", "<u4", "<i8"])
def test_types_orders_and_encodings(tmp_path, kind, encoding):
    array = (ARRAY.astype(float) * (-1.5 if kind[1] == "f" else 1)).astype(kind)
    payload = {"raw": array.tobytes(), "hex": array.tobytes().hex().encode()}.get(encoding)
    payload = payload or " ".join(map(str, array.ravel())).encode()
    names = {"i2": "short", "f4": "float", "f8": "double", "u4": "unsigned int", "i8": "long long int"}
    order = "big" if kind[0] == ">" else "little"
    (tmp_path / "a.nrrd").write_bytes(
        nrrd(array, type=names[kind[1:]], endian=order, encoding=encoding, payload=payload)
    )
    np.testing.assert_array_equal(read(tmp_path / "a.nrrd").volume.array, array)
