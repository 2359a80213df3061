"""Compressed voxels: every stream is inflated and counted before it is believed."""

import bz2
import gzip
import zlib

import numpy as np
import pytest
from volume_files import metaimage, nifti, nrrd, picture

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((6, 7, 8))
RAW = ARRAY.tobytes()


def nrrd_of(data: bytes, encoding: str) -> bytes:
    return nrrd(ARRAY, payload=data, encoding=encoding)


def mha_of(data: bytes, **fields) -> bytes:
    return metaimage(ARRAY, payload=data, **{"CompressedData": "True", **fields})


WRITERS = {
    "gzip.nrrd": lambda data: nrrd_of(gzip.compress(data), "gzip"),
    "bzip2.nrrd": lambda data: nrrd_of(bz2.compress(data), "bzip2"),
    "hex.nrrd": lambda data: nrrd_of(data.hex().encode(), "hex"),
    "text.nrrd": lambda data: nrrd_of(" ".join(map(str, data)).encode(), "ascii"),
    "zlib.mha": lambda data: mha_of(zlib.compress(data)),
    "gzip.mha": lambda data: mha_of(gzip.compress(data)),
    "text.mha": lambda data: metaimage(ARRAY, payload="\n".join(map(str, data)).encode(), BinaryData="False"),
}


def refusal(path) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path)
    return str(error.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_stream_is_the_volume(tmp_path, name):
    (tmp_path / name).write_bytes(WRITERS[name](RAW))
    np.testing.assert_array_equal(read(tmp_path / name).volume.array, ARRAY)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("change", [-1, 1, 5000])
def test_a_stream_that_does_not_fill_the_volume_exactly_is_refused(tmp_path, name, change):
    data = RAW[:change] if change < 0 else RAW + bytes(change)
    (tmp_path / name).write_bytes(WRITERS[name](data))
    assert ("more than" if change > 0 else "of the 336") in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["gzip.nrrd", "bzip2.nrrd", "zlib.mha", "gzip.mha"])
def test_a_damaged_or_cut_stream_is_refused(tmp_path, name):
    good = WRITERS[name](RAW)
    start = good.index(b"LOCAL\n") + 6 if name.endswith("mha") else good.index(b"\n\n") + 2
    for damage in (
        good[:start] + bytes(len(good) - start),  # zeros, as after an interrupted copy
        good[: start + 2] + bytes(2) + good[start + 4 :],
        good[: (start + len(good)) // 2],
        good[:-1],
        good[:start],
    ):
        (tmp_path / name).write_bytes(damage)
        assert "damaged" in refusal(tmp_path / name)


def test_a_checksum_that_does_not_fit_is_refused(tmp_path):
    data = bytearray(gzip.compress(RAW))
    data[-8] ^= 1
    (tmp_path / "a.nrrd").write_bytes(nrrd_of(bytes(data), "gzip"))
    assert "damaged" in refusal(tmp_path / "a.nrrd")


def test_what_follows_a_whole_stream_is_no_obstacle(tmp_path):
    for index, tail in enumerate((b"\r\n<html></html>", bytes(4096), b"\x1f")):
        (tmp_path / f"{index}.nrrd").write_bytes(nrrd_of(gzip.compress(RAW) + tail, "gzip"))
        (tmp_path / f"{index}.nii.gz").write_bytes(gzip.compress(nifti(ARRAY)) + tail)
        for suffix in ("nrrd", "nii.gz"):
            np.testing.assert_array_equal(read(tmp_path / f"{index}.{suffix}").volume.array, ARRAY)


def test_a_gzip_file_of_several_members_is_one_stream(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd_of(gzip.compress(RAW[:100]) + gzip.compress(RAW[100:]), "gzip"))
    np.testing.assert_array_equal(read(tmp_path / "a.nrrd").volume.array, ARRAY)


def test_a_small_file_that_inflates_to_gigabytes_is_left_after_what_it_states(tmp_path):
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(200)) + deflater.flush()
    (tmp_path / "a.nrrd").write_bytes(nrrd_of(bomb, "gzip"))
    assert "more than the 336 bytes" in refusal(tmp_path / "a.nrrd")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(nifti(ARRAY))[:-8] + bomb)
    assert "damaged" in refusal(tmp_path / "b.nii.gz")


@pytest.mark.parametrize(
    "data",
    [
        nrrd(ARRAY, sizes="2000 2000 2000", encoding="gzip", payload=gzip.compress(RAW)),
        metaimage(ARRAY, DimSize="2147483647 2147483647 2147483647"),
        metaimage(ARRAY, ElementNumberOfChannels="1000000000"),
        nifti(ARRAY, dim=(3, 32767, 32767, 32767)),
    ],
)
def test_sizes_beyond_any_volume_are_refused_before_anything_is_allocated(tmp_path, data):
    (tmp_path / "a.bin").write_bytes(data)
    assert "more than any ultrasound volume" in refusal(tmp_path / "a.bin")


def test_more_voxels_than_can_be_resampled_are_refused_before_they_are_inflated(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY, sizes="1000 1000 1000", encoding="gzip", payload=b""))
    assert "states 1e+09 voxels" in refusal(tmp_path / "a.nrrd")


def test_a_damaged_file_never_becomes_the_volume_before_it(tmp_path):
    """MetaIO leaves its buffer as it was, which held another patient's voxels."""
    (tmp_path / "other.mha").write_bytes(metaimage(picture((6, 7, 8), seed=1)))
    (tmp_path / "bad.mha").write_bytes(mha_of(bytes(200), CompressedDataSize="200"))
    (tmp_path / "list.mhd").write_bytes(metaimage(ARRAY, ElementDataFile="LIST"))
    for _ in range(3):
        read(tmp_path / "other.mha")
        assert "damaged" in refusal(tmp_path / "bad.mha")
        assert "list of data files" in refusal(tmp_path / "list.mhd")


def test_bzip2_voxels_in_several_streams_are_read_whole_as_gzip_ones_are(tmp_path):
    array = picture((12, 14, 16))
    raw, path = array.tobytes(), tmp_path / "parallel.nrrd"
    for encoding, pack in (("bzip2", bz2.compress), ("gzip", gzip.compress)):
        parts = [pack(raw[start : start + 900]) for start in range(0, len(raw), 900)]
        path.write_bytes(nrrd(array, encoding=encoding, payload=b"".join(parts) + b"what follows"))
        np.testing.assert_array_equal(read(path).volume.array, array)
        path.write_bytes(nrrd(array, encoding=encoding, payload=b"".join(parts)[:-12]))
        with pytest.raises(FetalPoseError, match="damaged"):
            read(path)
