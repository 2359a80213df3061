"""Folders of DICOM slices."""

import numpy as np
import pytest
from volume_files import dicom_set, picture, save_dicom, write_slices

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((12, 7, 8))
PLACE = np.diag([-0.8, -0.8, 0.7, 1])


def refusal(path) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path)
    return str(error.value)


def assert_read(path, array=ARRAY, place=PLACE):
    reading = read(path)
    np.testing.assert_array_equal(reading.volume.array, array)
    np.testing.assert_allclose(reading.volume.ijk_to_ras, place, atol=2e-3)
    return reading


def test_a_series_whatever_its_names_or_folders(tmp_path):
    folder = write_slices(tmp_path / "patient" / "study" / "series", ARRAY)
    for k, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{(5 * k) % 12:02d}")
    for path in (folder, tmp_path / "patient"):
        assert not assert_read(path).doubts


def test_oblique_slices_lie_where_they_say(tmp_path):
    rows, columns, step = np.array([0, 0.6, 0.8]), np.array([-1.0, 0, 0]), np.array([0.1, 0.5, -0.4])
    write_slices(
        tmp_path / "s", ARRAY, lambda data, k: setattr(data, "ImagePositionPatient", list(np.round(step * k + 3, 6))),
        ImageOrientationPatient=[*rows, *columns], spacing=(0.9, 0.5),
    )  # fmt: skip
    volume = read(tmp_path / "s").volume
    backwards = np.cross(rows, columns) @ step < 0
    place = volume.ijk_to_ras[:3] * [[-1], [-1], [1]]
    np.testing.assert_allclose(place[:, 0], rows * 0.5, atol=1e-6)
    np.testing.assert_allclose(place[:, 1], columns * 0.9, atol=1e-6)
    np.testing.assert_allclose(place[:, 2], -step if backwards else step, atol=1e-6)
    np.testing.assert_array_equal(volume.array, ARRAY[::-1] if backwards else ARRAY)


def test_what_lies_beside_the_slices_is_passed_over(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    for name, data in {"Thumbs.db": b"x" * 500, ".DS_Store": b"y" * 500, "readme.txt": b"hello", "empty": b""}.items():
        (folder / name).write_bytes(data)
    (folder / "._IM0001").write_bytes((folder / "IM0001").read_bytes())
    (folder / "link").symlink_to(tmp_path / "gone")
    report = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "SeriesInstanceUID": "1.9", "Modality": "SR"}
    save_dicom(dicom_set(ARRAY[0], 50, **report), folder / "SR0001")
    save_dicom(dicom_set(ARRAY[0], 51, **{**report, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}), folder / "PR0001")
    save_dicom(dicom_set(ARRAY[0], 52, SOPClassUID="1.2.840.10008.1.3.10", Rows=None), folder / "DICOMDIR")
    assert_read(folder)


def test_files_without_a_preamble(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    for k, path in enumerate(sorted(folder.iterdir())):
        data = path.read_bytes()
        meta = 144 + int.from_bytes(data[140:144], "little")
        path.write_bytes(data[132:] if k % 2 else data[meta:])
    assert_read(folder)


@pytest.mark.parametrize("decimals", [1, 2])
def test_rounded_positions_are_no_gap(tmp_path, decimals):
    def rounded(data, k):
        data.ImagePositionPatient = [0, 0, round(0.4544 * k, decimals) + 0.01 * (k % 7 == 0)]

    write_slices(tmp_path / "s", ARRAY, rounded)
    np.testing.assert_allclose(read(tmp_path / "s").volume.grid.spacing, [0.8, 0.8, 0.4544], atol=0.01)


def test_a_missing_slice_is_named(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    (folder / "IM0005").unlink()
    assert "Slices are missing in it: they lie 0.7 to 1.4 mm apart, with a gap after slice 5" in refusal(folder)


def test_a_copy_of_a_slice_is_read_once_and_another_slice_at_its_place_is_not(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    (folder / "COPY").write_bytes((folder / "IM0005").read_bytes())
    assert_read(folder)
    save_dicom(dicom_set(ARRAY[0], 5, SOPInstanceUID="1.2.3.4.99"), folder / "COPY")
    assert "holds slices twice" in refusal(folder)


def test_volumes_over_time_are_read_one_at_a_time(tmp_path):
    later = picture(ARRAY.shape, seed=1)
    folder = write_slices(tmp_path / "s", ARRAY)
    for k, plane in enumerate(later):
        save_dicom(dicom_set(plane, k, SOPInstanceUID=f"1.2.3.5.{k}", InstanceNumber=100 + k), folder / f"B{k}")
    assert "4D series of 2 volumes" in refusal(folder)
    np.testing.assert_array_equal(read(folder, frame=1).volume.array, ARRAY)
    np.testing.assert_array_equal(read(folder, frame=2).volume.array, later)


def test_frames_at_one_place_are_no_slices(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY, lambda data, k: setattr(data, "ImagePositionPatient", [0, 0, 0]))
    assert "12 2D frames over time or of a moving probe" in refusal(folder)


def test_slices_off_a_line_are_those_of_a_moving_probe(tmp_path):
    def moved(data, k):
        data.ImagePositionPatient = [3 * np.sin(k), 0, 0.7 * k]

    assert "do not lie evenly on a line" in refusal(write_slices(tmp_path / "s", ARRAY, moved))


def odd(**elements):
    def change(data, index):
        if index == 3:
            for keyword, value in elements.items():
                setattr(data, keyword, value)

    return change


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "another orientation than the others (IM0003)"),
        ({"Rows": 6}, "IM0003: 6 rows x 8 columns, the others 7 x 8"),
        ({"SeriesInstanceUID": "1.9"}, "2 DICOM series"),
        ({"PixelSpacing": [0.4, 0.4]}, "pixels of several sizes"),
        ({"PixelSpacing": None}, "spacing of the pixels (PixelSpacing) of 1 of its 12 images"),
        ({"ImagePositionPatient": None}, "do not state their position and orientation (IM0003)"),
        ({"PixelData": bytes(30)}, "IM0003 holds 30 of the 56 bytes"),
        ({"PixelData": bytes(3000)}, "IM0003 holds 3000 bytes where 56 belong"),
        ({"Rows": 0}, "IM0003 have 0 rows"),
        ({"BitsAllocated": 12}, "IM0003 have 7 rows, 8 columns and 12 bits"),
    ],
)
def test_one_image_that_does_not_belong_is_named(tmp_path, elements, message):
    def change(data, index):
        odd(**{key: value for key, value in elements.items() if value is not None})(data, index)
        for keyword in (key for key, value in elements.items() if value is None and index == 3):
            delattr(data, keyword)

    assert message in refusal(write_slices(tmp_path / "s", ARRAY, change))


def test_a_file_cut_in_half_is_named(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    whole = (folder / "IM0003").read_bytes()
    (folder / "IM0003").write_bytes(whole[: len(whole) - 30])
    assert "IM0003 holds 26 of the 56 bytes" in refusal(folder)
    (folder / "IM0003").write_bytes(whole[:400])
    refusal(folder)


@pytest.mark.parametrize("spacing", [None, [0, 0], [-1, 1]])
def test_a_spacing_that_is_not_stated_is_not_guessed(tmp_path, spacing):
    message = "states no spacing of the pixels" if spacing is None else "impossible voxel spacing"
    assert message in refusal(write_slices(tmp_path / "s", ARRAY, PixelSpacing=spacing))


def region(x1=7, y1=6, units=3):
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in {
        "RegionLocationMinX0": 0, "RegionLocationMinY0": 0, "RegionLocationMaxX1": x1, "RegionLocationMaxY1": y1,
        "PhysicalUnitsXDirection": units, "PhysicalUnitsYDirection": units, "PhysicalDeltaX": 0.08,
        "PhysicalDeltaY": 0.08,
    }.items():  # fmt: skip
        setattr(item, keyword, value)
    return [item]


def test_an_ultrasound_region_of_the_whole_image_states_the_spacing(tmp_path):
    assert_read(write_slices(tmp_path / "a", ARRAY, PixelSpacing=None, SequenceOfUltrasoundRegions=region()))
    for k, other in enumerate((region(x1=3), region(units=4), region() + region())):
        folder = write_slices(tmp_path / f"b{k}", ARRAY, PixelSpacing=None, SequenceOfUltrasoundRegions=other)
        assert "states no spacing of the pixels" in refusal(folder)


def test_images_without_positions_follow_their_numbers_at_the_stated_distance(tmp_path):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    reading = assert_read(write_slices(tmp_path / "a", ARRAY, SpacingBetweenSlices=0.7, **nowhere))
    assert [doubt.code for doubt in reading.doubts] == ["orientation"]
    assert "nor the distance between them" in refusal(write_slices(tmp_path / "b", ARRAY, **nowhere))
    gap = write_slices(tmp_path / "c", ARRAY, SpacingBetweenSlices=0.7, **nowhere)
    (gap / "IM0005").unlink()
    assert "numbers without gaps" in refusal(gap)
    clip = write_slices(tmp_path / "d", ARRAY, FrameTime=40, **nowhere)
    assert "2D frames over time" in refusal(clip)


def test_a_series_that_states_more_images_is_doubtful(tmp_path):
    reading = read(write_slices(tmp_path / "s", ARRAY, ImagesInAcquisition=20))
    assert [(doubt.code, doubt.value) for doubt in reading.doubts] == [("incomplete", "20 images and holds 12")]


def test_one_slice_and_no_images_are_named(tmp_path):
    folder = write_slices(tmp_path / "s", ARRAY)
    assert "one slice of a series" in refusal(folder / "IM0003")
    (tmp_path / "empty").mkdir()
    assert "holds no DICOM images" in refusal(tmp_path / "empty")


def test_nothing_of_the_patient_is_said(tmp_path, recwarn, capfd):
    secret = {
        "PatientName": "SECRET^NAME",
        "PatientID": "SECRET",
        "PatientBirthDate": "19990101",
        "StudyID": "SECRET" * 20,
    }
    folder = write_slices(tmp_path / "s", ARRAY, **secret, PixelSpacing=None)
    message = refusal(folder)
    damaged = (folder / "IM0002").read_bytes().replace(b"1.2.840.10008.5", b"SECRET\x00\xff.8.5")
    (folder / "IM0002").write_bytes(damaged)
    message += refusal(folder)
    assert "SECRET" not in message + "".join(str(w.message) for w in recwarn) + "".join(capfd.readouterr())
