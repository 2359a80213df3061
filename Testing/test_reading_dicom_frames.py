"""DICOM files with many frames: Enhanced US Volumes, plain ultrasound, Philips' private elements, clips."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from volume_files import multiframe, picture, save_dicom

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((12, 7, 8))
PLACE = np.diag([-0.8, -0.9, 0.7, 1])
SPACING = [0.9, 0.8]  # between rows, between columns
ENHANCED = "1.2.840.10008.5.1.4.1.1.6.2"


def refusal(path) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path)
    return str(error.value)


def item(**elements) -> Dataset:
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def saved(tmp_path, array=ARRAY, **elements):
    return save_dicom(multiframe(array, **elements), tmp_path / "a.dcm")


def enhanced(array=ARRAY, *, measures=None, frame=lambda k: {}, turn=(1, 0, 0, 0, 1, 0)):
    measures = {"PixelSpacing": SPACING} if measures is None else measures
    shared = item()
    if measures:
        shared.PixelMeasuresSequence = [item(**measures)]
    if turn:
        shared.PlaneOrientationVolumeSequence = [item(ImageOrientationVolume=list(turn))]
    frames = [item(**frame(k)) for k in range(len(array))]
    return {
        "SOPClassUID": ENHANCED,
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }


def at(z: float, **more) -> dict:
    return {"PlanePositionVolumeSequence": [item(ImagePositionVolume=[0.0, 0.0, z])], **more}


def assert_read(path, array=ARRAY, codes=()):
    reading = read(path)
    np.testing.assert_array_equal(reading.volume.array, array)
    np.testing.assert_allclose(reading.volume.ijk_to_ras, PLACE, atol=1e-6)
    assert [doubt.code for doubt in reading.doubts] == list(codes)


def test_an_enhanced_volume_is_measured_by_its_functional_groups(tmp_path):
    order = [(5 * k) % 12 for k in range(12)]
    path = saved(tmp_path, ARRAY[order], **enhanced(frame=lambda k: at(0.7 * order[k])))
    assert_read(path)


def test_an_enhanced_volume_in_the_patients_coordinates(tmp_path):
    def frame(k):
        return {
            "PlanePositionSequence": [item(ImagePositionPatient=[0, 0, round(0.7 * k, 3)])],
            "PlaneOrientationSequence": [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        }

    assert_read(saved(tmp_path, **enhanced(frame=frame, turn=None)))


def test_an_enhanced_volume_without_directions_leaves_the_sides_open(tmp_path):
    assert_read(saved(tmp_path, **enhanced(frame=lambda k: at(0.7 * k), turn=None)), codes=["orientation"])


def test_an_enhanced_volume_with_the_distance_between_its_frames(tmp_path):
    measures = {"PixelSpacing": SPACING, "SpacingBetweenSlices": 0.7}
    assert_read(saved(tmp_path, **enhanced(measures=measures)), codes=["orientation"])


def test_only_tissue_is_read_of_an_enhanced_volume_with_doppler(tmp_path):
    def frame(k):
        kind = "TISSUE_INTENSITY" if k < 12 else "FLOW_VELOCITY"
        return at(0.7 * (k % 12), ImageDataTypeSequence=[item(DataType=kind)])

    both = np.concatenate([ARRAY, 255 - ARRAY])
    assert_read(saved(tmp_path, both, **enhanced(both, frame=frame)))


def test_enhanced_volumes_over_time_are_read_one_at_a_time(tmp_path):
    later = picture(ARRAY.shape, seed=1)
    both = np.stack([ARRAY, later], axis=1).reshape(-1, 7, 8)  # slice by slice

    def frame(k):
        return at(0.7 * (k // 2), TemporalPositionSequence=[item(TemporalPositionTimeOffset=float(k % 2))])

    path = saved(tmp_path, both, **enhanced(both, frame=frame))
    assert "4D series of 2 volumes" in refusal(path)
    for number, array in ((1, ARRAY), (2, later)):
        np.testing.assert_array_equal(read(path, frame=number).volume.array, array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": {}, "frame": lambda k: at(0.7 * k)}, "states no spacing of its pixels"),
        ({}, "states no distance between its frames"),
        ({"frame": lambda k: at(0.0)}, "2D frames over time or of a moving probe"),
        ({"frame": lambda k: at(0.7 * (k + (k > 5)))}, "Slices are missing"),
        ({"frame": lambda k: at(0.7 * k) if k else {}}, "position and orientation of every frame"),
        (
            {
                "turn": None,
                "frame": lambda k: at(
                    0.7 * k,
                    PlaneOrientationVolumeSequence=[
                        item(ImageOrientationVolume=[np.cos(k / 9), np.sin(k / 9), 0, 0, 0, 1])
                    ],
                ),
            },
            "of a moving probe",
        ),
        (
            {"frame": lambda k: at(0.7 * k, ImageDataTypeSequence=[item(DataType="FLOW_POWER")])},
            "no tissue intensities",
        ),
    ],
)
def test_an_enhanced_file_that_is_no_measured_volume_is_refused(tmp_path, options, message):
    assert message in refusal(saved(tmp_path, **enhanced(**options)))


def test_a_file_that_describes_fewer_frames_than_it_holds_is_damaged(tmp_path):
    groups = enhanced(ARRAY[:5], frame=lambda k: at(0.7 * k))
    assert "describes 5 of its 12 frames" in refusal(saved(tmp_path, **groups))


def test_plain_frames_need_the_size_of_pixels_and_the_distance_between_frames(tmp_path):
    assert "no spacing of its pixels" in refusal(saved(tmp_path))
    assert "no distance between its frames" in refusal(saved(tmp_path, PixelSpacing=SPACING))
    assert "no distance between" in refusal(saved(tmp_path, PixelSpacing=SPACING, SliceThickness=0.7))
    assert "no spacing of its pixels" in refusal(saved(tmp_path, SpacingBetweenSlices=0.7))
    assert "impossible" in refusal(saved(tmp_path, PixelSpacing=SPACING, SpacingBetweenSlices=0))
    assert_read(saved(tmp_path, PixelSpacing=SPACING, SpacingBetweenSlices=0.7), codes=["orientation"])
    placed = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    assert_read(saved(tmp_path, PixelSpacing=SPACING, SpacingBetweenSlices=0.7, **placed))


def test_an_ultrasound_region_stands_in_for_the_size_of_pixels(tmp_path):
    region = item(
        RegionLocationMinX0=0, RegionLocationMinY0=0, RegionLocationMaxX1=7, RegionLocationMaxY1=6,
        PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.08, PhysicalDeltaY=0.09,
    )  # fmt: skip
    path = saved(tmp_path, SequenceOfUltrasoundRegions=[region], SpacingBetweenSlices=0.7)
    assert_read(path, codes=["orientation"])
    assert "no distance between its frames" in refusal(saved(tmp_path, SequenceOfUltrasoundRegions=[region]))


@pytest.mark.parametrize(
    "elements",
    [
        {"FrameIncrementPointer": 0x00181063, "FrameTime": 40, "SpacingBetweenSlices": 0.7},
        {"FrameIncrementPointer": 0x00181065},
        {"FrameTime": 40},
        {"CineRate": 25},
    ],
)
def test_a_clip_says_that_its_frames_follow_in_time(tmp_path, elements):
    assert "2D frames over time" in refusal(saved(tmp_path, PixelSpacing=SPACING, **elements))


def test_philips_qlab_states_its_spacing_in_private_elements(tmp_path):
    later = picture(ARRAY.shape, seed=1)
    both = np.concatenate([ARRAY, later])
    for count, array in ((1, ARRAY), (2, both)):
        data = multiframe(array, SOPClassUID="1.2.840.113543.6.6.1.3.10002", NumberOfFrames=count)
        data.PhysicalDeltaX, data.PhysicalDeltaY = 0.08, 0.09
        data.add_new(0x30010010, "LO", "Philips3D")
        data.add_new(0x30011001, "UL", 12)
        data.add_new(0x30011003, "FD", 0.07)
        path = save_dicom(data, tmp_path / f"{count}.dcm")
        if count == 1:
            assert_read(path, codes=["orientation"])
        else:
            assert "4D series of 2 volumes" in refusal(path)
            np.testing.assert_array_equal(read(path, frame=2).volume.array, later)
    del data[0x30011003]
    assert "private elements" in refusal(save_dicom(data, tmp_path / "none.dcm"))


@pytest.mark.parametrize(("block", "kind"), [(0x10, "LO"), (0x12, "DS")])
def test_philips_affiniti_states_its_spacing_in_a_private_element(tmp_path, block, kind):
    data = multiframe(ARRAY, FrameTime=40)
    data.add_new((0x200D, block), "LO", "Philips US Imaging DD 036")
    data.add_new((0x200D, block << 8 | 3), kind, ["0.8", "0.9", "0.7"])
    assert_read(save_dicom(data, tmp_path / "a.dcm"), codes=["orientation"])


def test_a_folder_with_one_such_file_is_that_file_and_with_two_is_refused(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        data = multiframe(ARRAY, PixelSpacing=SPACING, SpacingBetweenSlices=0.7, SOPInstanceUID=f"1.2.{ord(name[0])}")
        save_dicom(data, tmp_path / name)
        if name == "a.dcm":
            assert_read(tmp_path, codes=["orientation"])
    assert "2 files with many frames" in refusal(tmp_path)
