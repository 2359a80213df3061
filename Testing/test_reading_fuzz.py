"""Damaged files of every format, by the hundred: a volume or one clear line, whatever was damaged."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from volume_files import metaimage, nifti, nrrd, picture, write_slices

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read

ARRAY = picture((6, 7, 8))
RAW = ARRAY.tobytes()
SEEDS = {
    "raw.nrrd": nrrd(ARRAY, space_origin="(1,2,3)", kinds="domain domain domain", space_units='"mm" "mm" "mm"'),
    "gzip.nrrd": nrrd(ARRAY, encoding="gzip", payload=gzip.compress(RAW)),
    "text.nrrd": nrrd(ARRAY, encoding="ascii", payload=" ".join(map(str, RAW)).encode()),
    "four.nrrd": nrrd(ARRAY[None], space_directions="(0.9,0,0) (0,0.9,0) (0,0,0.9) none"),
    "parts.nhdr": nrrd(ARRAY, "data file: part%d.raw 0 1 1", payload=b""),
    "list.nhdr": nrrd(ARRAY, "data file: LIST 3", "part0.raw", "part1.raw", payload=b""),
    "raw.mha": metaimage(ARRAY, DistanceUnits="mm", AnatomicalOrientation="RAI"),
    "zlib.mha": metaimage(ARRAY, CompressedData="True", payload=zlib.compress(RAW)),
    "parts.mhd": metaimage(ARRAY, ElementDataFile="part%d.raw 0 1 1"),
    "list.mhd": metaimage(ARRAY, ElementDataFile="LIST\npart0.raw\npart1.raw"),
    "both.nii": nifti(ARRAY, sform=np.diag([-0.9, -0.9, 0.9, 1])[:3], qform=(0, 0, 1, 0, 0, 0)),
    "packed.nii.gz": gzip.compress(nifti(ARRAY, qform=(0.1, 0.2, 0.3, 1, 2, 3))),
}  # fmt: skip
WORDS = (
    b"0", b"-1", b"nan", b"inf", b"1e999", b"9" * 30, b"%s%n", b"none", b"(", b")", b"\0", b"\n", b"\n\n", b"LIST",
    b"-", b"/dev/stdin", b"/dev/zero", b"\xff\xfe", b"3", b"4", b"2147483647", b"..", b'"', b"[" * 500, b"x" * 5000,
)  # fmt: skip
HEADER = 700  # bytes in which most changes fall


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        at = int(rng.integers(min(len(out), HEADER) + 1))
        word, length = WORDS[rng.integers(len(WORDS))], int(rng.integers(1, 12))
        kind = rng.integers(5)
        if kind == 0:
            out[at : at + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            out[at:at] = word
        elif kind == 2:
            out[at : at + length] = word
        elif kind == 3:
            del out[at : at + length]
        else:
            del out[int(rng.integers(len(out) + 1)) :]
    return bytes(out)


def assert_read_or_refused(path: Path) -> None:
    try:
        volume = read(path).volume
    except FetalPoseError as error:
        assert str(error).isprintable() and len(str(error)) < 1000
    else:
        assert volume.array.size and np.isfinite(volume.ijk_to_ras).all()


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_headers_and_data(tmp_path, name):
    for part in range(2):
        (tmp_path / f"part{part}.raw").write_bytes(RAW[part * 168 : (part + 1) * 168])
    (tmp_path / name).write_bytes(SEEDS[name])
    np.testing.assert_array_equal(read(tmp_path / name).volume.array, ARRAY)
    rng = np.random.default_rng(sum(name.encode()))
    for _ in range(150):
        (tmp_path / name).write_bytes(damaged(SEEDS[name], rng))
        assert_read_or_refused(tmp_path / name)


def test_damaged_slices(tmp_path, recwarn):
    folder = write_slices(tmp_path / "s", ARRAY)
    whole = (folder / "IM0003").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        (folder / "IM0003").write_bytes(whole[:132] + damaged(whole[132:], rng))
        assert_read_or_refused(folder)
    assert not recwarn.list  # they would quote the patient's data
