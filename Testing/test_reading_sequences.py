"""Volumes over time from files: every format, one volume at a time, with the times that the file states."""

import bz2
import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
from kretz_files import head_items, kretz, toroidal_items
from volume_files import dicom_set, metaimage, multiframe, nifti, nrrd, picture, save_dicom, write_slices

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read
from FetalPoseLib.reading.sequence import open_sequence
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeGrid, ProbeVolume

COUNT = 3
FRAMES = np.stack([picture((8, 9, 10), seed=i) for i in range(COUNT)])
DIRECTIONS = "(0.9,0,0) (0,0.9,0) (0,0,0.9)"
SLICER_KEYS = ("axis {0} index type:=numeric", "axis {0} index values:=0 0.25 0.75")


def volumes_of(path, **options):
    with open_sequence(path, **options) as sequence:
        return [sequence.volume(i) for i in range(len(sequence))], sequence


def check(path, *, times=None, **options):
    """The frames are those of `FRAMES`, out of turn as well, and lie where the file's single frame lies."""
    found, sequence = volumes_of(path, **options)
    assert len(sequence) == COUNT
    for volume, frame in zip(found, FRAMES, strict=True):
        np.testing.assert_array_equal(volume.array, frame)
        assert volume.array.flags.c_contiguous and volume.array.dtype.isnative
    with open_sequence(path, **options) as again:
        np.testing.assert_array_equal(again.volume(2).array, FRAMES[2])
        np.testing.assert_array_equal(again.volume(0).array, FRAMES[0])
        with pytest.raises(IndexError):
            again.volume(COUNT)
    if times is None:
        assert sequence.times is None
    else:
        np.testing.assert_allclose(sequence.times, times, atol=1e-6)
    return found[0]


@pytest.mark.parametrize("suffix", ["seq.nrrd", "seq.mha"])
def test_what_slicer_writes(tmp_path, suffix):
    scene = mrml.new_scene()
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    for time, frame in zip((0, 0.25, 0.75), FRAMES, strict=True):
        volume = mrml.add_volume(scene, Volume(frame, np.diag([0.5, 0.6, 0.7, 1.0])))
        node.SetDataNodeAtValue(volume, f"{time:g}")
        scene.RemoveNode(volume)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    path = tmp_path / f"a.{suffix}"
    storage.SetFileName(str(path))
    assert storage.WriteData(node)
    first = check(path, times=(0, 0.25, 0.75))
    np.testing.assert_allclose(first.grid.spacing, [0.5, 0.6, 0.7])


@pytest.mark.parametrize("axis", [0, 3])
def test_both_orders_of_slicers_axes(tmp_path, axis):
    array = FRAMES if axis == 3 else np.moveaxis(FRAMES, 0, -1)
    names = ["domain"] * 3
    names.insert(axis, "list")
    directions, units = DIRECTIONS.split(), ['"mm"'] * 3
    directions.insert(axis, "none")
    units.insert(axis, '"ms"')
    data = nrrd(
        np.ascontiguousarray(array), *(key.format(axis) for key in SLICER_KEYS), kinds=" ".join(names),
        space_directions=" ".join(directions), units=" ".join(units),
    )  # fmt: skip
    (tmp_path / "a.seq.nrrd").write_bytes(data)
    check(tmp_path / "a.seq.nrrd", times=(0, 0.00025, 0.00075))


def test_without_a_unit_times_are_not_known(tmp_path):
    data = nrrd(
        FRAMES, *(key.format(3) for key in SLICER_KEYS), kinds="domain domain domain list",
        space_directions=f"{DIRECTIONS} none",
    )  # fmt: skip
    (tmp_path / "a.nrrd").write_bytes(data)
    check(tmp_path / "a.nrrd")
    found, sequence = volumes_of(tmp_path / "a.nrrd", fps=4)
    np.testing.assert_allclose(sequence.times, [0, 0.25, 0.5])
    assert not sequence.doubts


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "text"])
def test_encodings_of_nrrd(tmp_path, encoding):
    raw = FRAMES.tobytes()
    payload = {
        "raw": raw, "gzip": gzip.compress(raw), "bzip2": bz2.compress(raw), "hex": raw.hex().encode(),
        "text": b" ".join(b"%d" % value for value in FRAMES.ravel()),
    }[encoding]  # fmt: skip
    fields = {"kinds": "domain domain domain list", "space_directions": f"{DIRECTIONS} none"}
    (tmp_path / "a.nrrd").write_bytes(nrrd(FRAMES, encoding=encoding, payload=payload, **fields))
    check(tmp_path / "a.nrrd")


def test_big_endian_numbers_and_data_files(tmp_path):
    stored = FRAMES.astype(">i2")
    for i, frame in enumerate(stored):
        (tmp_path / f"part{i}.raw").write_bytes(frame.tobytes())
    lines = ["data file: LIST", *(f"part{i}.raw" for i in range(COUNT))]
    text = nrrd(FRAMES, type="short", endian="big", kinds="domain domain domain list",
                space_directions=f"{DIRECTIONS} none").split(b"\n\n")[0]  # fmt: skip
    (tmp_path / "a.nhdr").write_bytes(text + b"\n" + "\n".join(lines).encode() + b"\n")
    check(tmp_path / "a.nhdr")


def test_metaimage_with_timestamps(tmp_path):
    stamps = {f"Seq_Frame{i:04d}_Timestamp": str(10 + 0.2 * i) for i in range(COUNT)}
    (tmp_path / "a.seq.mha").write_bytes(metaimage(FRAMES, Kinds="domain domain domain list", **stamps))
    check(tmp_path / "a.seq.mha", times=(0, 0.2, 0.4))
    packed = zlib.compress(FRAMES.tobytes())
    (tmp_path / "b.mha").write_bytes(metaimage(FRAMES, payload=packed, CompressedData="True"))
    check(tmp_path / "b.mha")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti_states_its_step(tmp_path, suffix):
    pack = gzip.compress if suffix.endswith("gz") else bytes
    sform = np.diag([0.9, 0.9, 0.9, 1])[:3]
    (tmp_path / f"a.{suffix}").write_bytes(pack(nifti(FRAMES, pixdim=(1, 0.9, 0.9, 0.9, 250), sform=sform, units=18)))
    check(tmp_path / f"a.{suffix}", times=(0, 0.25, 0.5))
    (tmp_path / f"b.{suffix}").write_bytes(pack(nifti(FRAMES, pixdim=(1, 0.9, 0.9, 0.9, 250), sform=sform, units=2)))
    check(tmp_path / f"b.{suffix}")


def test_scaling_is_applied(tmp_path):
    data = nifti(FRAMES, sform=np.diag([0.9, 0.9, 0.9, 1])[:3], pixdim=(1, 0.9, 0.9, 0.9, 1), scaling=(2.0, 1.0))
    (tmp_path / "a.nii").write_bytes(data)
    found, _ = volumes_of(tmp_path / "a.nii")
    np.testing.assert_allclose(found[1].array, 2.0 * FRAMES[1] + 1)


def save_slices(folder, suffix, tags_of_volume):
    """Each volume as a series of DICOM slices with its position in time and more tags."""
    folder.mkdir()
    for k, frame in enumerate(FRAMES):
        for i, plane in enumerate(frame):
            number = k * len(frame) + i
            data = dicom_set(
                plane, i, SOPInstanceUID=f"1.2.3.4.{number}", InstanceNumber=number + 1,
                TemporalPositionIdentifier=k + 1, **tags_of_volume(k),
            )  # fmt: skip
            save_dicom(data, folder / f"IM{number:03d}{suffix}")


def test_dicom_slices_of_several_volumes(tmp_path):
    save_slices(tmp_path / "s", ".dcm", lambda k: {"TemporalResolution": 400})
    check(tmp_path / "s", times=(0, 0.4, 0.8))


def test_dicom_times_of_acquisition(tmp_path):
    save_slices(tmp_path / "s", "", lambda k: {"AcquisitionTime": f"10150{k}.5"})
    check(tmp_path / "s", times=(0, 1, 2))


def test_a_folder_of_files_with_one_dicom_volume_each(tmp_path):
    for k, frame in enumerate(FRAMES):
        data = multiframe(frame, PixelSpacing=[0.8, 0.8], SpacingBetweenSlices=0.7, SeriesInstanceUID=f"1.2.{k}")
        save_dicom(data, tmp_path / f"volume{k + 9}.dcm")
    check(tmp_path)


def test_kretz_over_time(tmp_path):
    grid = ProbeGrid(10, 20.0, 0.7, 3.0, np.linspace(-0.4, 0.4, 9), np.linspace(-0.3, 0.3, 8), np.eye(4))
    items = toroidal_items(ProbeVolume(FRAMES[0], grid)) | head_items(grid.shape)
    items[0xD600, 1] = FRAMES.tobytes()
    (tmp_path / "a.vol").write_bytes(kretz(items))
    found, sequence = volumes_of(tmp_path / "a.vol", fps=2)
    assert all(isinstance(volume, ProbeVolume) for volume in found)
    for volume, frame in zip(found, FRAMES, strict=True):
        np.testing.assert_array_equal(volume.array, frame)
    assert "sides" in {doubt.code for doubt in sequence.doubts}


def test_a_folder_of_numbered_volumes_is_in_the_order_of_its_numbers(tmp_path):
    for k, frame in zip((2, 9, 10), FRAMES, strict=True):
        (tmp_path / f"fetus_{k}.nrrd").write_bytes(nrrd(frame))
    (tmp_path / "notes.txt").write_text("not a volume")
    (tmp_path / ".hidden_1.nrrd").write_bytes(b"")
    check(tmp_path)
    _, sequence = volumes_of(tmp_path)
    assert "2 to 10 in 3 files" in next(doubt.sentence for doubt in sequence.doubts if doubt.code == "numbers")
    _, sequence = volumes_of(tmp_path, fps=5)
    np.testing.assert_allclose(sequence.times, [0, 0.2, 0.4])


def test_a_folder_with_one_sequence_file_is_that_sequence(tmp_path):
    (tmp_path / "a.mha").write_bytes(metaimage(FRAMES))
    check(tmp_path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a1.nrrd", "b2.nrrd"), "volumes of several sequences"),
        (("a1.nrrd", "a01.nrrd"), "have the same number"),
    ],
)
def test_folders_that_are_no_sequence(tmp_path, names, reason):
    for name in names:
        (tmp_path / name).write_bytes(nrrd(FRAMES[0]))
    with pytest.raises(FetalPoseError, match=reason):
        open_sequence(tmp_path)


def test_one_volume_is_no_sequence(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(FRAMES[0]))
    write_slices(tmp_path / "series", FRAMES[0])
    for path in (tmp_path / "a.nrrd", tmp_path / "series"):
        with pytest.raises(FetalPoseError, match="holds one volume, not a sequence.*mrk.json"):
            open_sequence(path)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e6])
def test_a_volume_rate_that_is_none(tmp_path, fps):
    (tmp_path / "a.mha").write_bytes(metaimage(FRAMES))
    with pytest.raises(FetalPoseError, match="no volume rate"):
        open_sequence(tmp_path / "a.mha", fps=fps)


def test_another_rate_than_the_files_is_a_doubt(tmp_path):
    data = nifti(FRAMES, pixdim=(1, 0.9, 0.9, 0.9, 0.25), sform=np.diag([0.9, 0.9, 0.9, 1])[:3], units=10)
    (tmp_path / "a.nii").write_bytes(data)
    _, sequence = volumes_of(tmp_path / "a.nii", fps=2)
    np.testing.assert_allclose(sequence.times, [0, 0.5, 1])
    assert "4 volumes a second, and 2 were given" in sequence.doubts[-1].sentence
    _, sequence = volumes_of(tmp_path / "a.nii", fps=4)
    assert not sequence.doubts


def test_damaged_sequences_are_refused_at_once(tmp_path):
    whole = nrrd(FRAMES, kinds="domain domain domain list", space_directions=f"{DIRECTIONS} none")
    (tmp_path / "a.nrrd").write_bytes(whole[:-1])
    packed = nrrd(
        FRAMES, encoding="gzip", payload=gzip.compress(FRAMES[:2].tobytes()), kinds="domain domain domain list",
        space_directions=f"{DIRECTIONS} none",
    )  # fmt: skip
    (tmp_path / "b.nrrd").write_bytes(packed)
    for name in "ab":
        with pytest.raises(FetalPoseError, match=f"{name}.nrrd cannot be read as a volume.*holds"):
            open_sequence(tmp_path / f"{name}.nrrd")


def test_only_one_volume_is_in_memory(tmp_path):
    many = np.tile(picture((80, 100, 120)), (40, 1, 1, 1))
    fields = {"kinds": "domain domain domain list", "space_directions": f"{DIRECTIONS} none"}
    (tmp_path / "a.nrrd").write_bytes(nrrd(many, encoding="gzip", payload=gzip.compress(many.tobytes(), 1), **fields))
    tracemalloc.start()
    try:
        with open_sequence(tmp_path / "a.nrrd") as sequence:
            for i in range(len(sequence)):
                sequence.volume(i)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < many.nbytes / 2


def test_the_refusal_of_a_single_pose_names_the_way_to_all(tmp_path):
    (tmp_path / "a.mha").write_bytes(metaimage(FRAMES))
    with pytest.raises(FetalPoseError, match=r"4D series of 3 volumes.*--output POSES.seq.mrb"):
        read(tmp_path / "a.mha")
