"""Voxels of DICOM files: transfer syntaxes, colour, inverted and rescaled values, damage."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from volume_files import dicom_set, multiframe, picture, save_dicom, write_slices

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read
from FetalPoseLib.scene.decoding import decode_dicom

SMOOTH = np.kron(picture((6, 4, 5)), np.ones((1, 8, 8), np.uint8)).astype(np.uint8)


def refusal(path, **options) -> str:
    with pytest.raises(FetalPoseError) as error:
        read(path, **options)
    return str(error.value)


def packed(plane: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    options = {"JPEG": {"quality": 95}, "JPEG2000": {"no_jp2": True, "irreversible": False}}[kind]
    Image.fromarray(plane).save(stream, kind, **options)
    return stream.getvalue()


def compressed(syntax, encode):
    def change(data, index):
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([encode(SMOOTH[index])])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True

    return change


@pytest.mark.parametrize(("syntax", "kind", "off"), [(JPEGBaseline8Bit, "JPEG", 5), (JPEG2000Lossless, "JPEG2000", 0)])
def test_compressed_slices(tmp_path, syntax, kind, off):
    folder = write_slices(tmp_path / "s", SMOOTH, compressed(syntax, lambda plane: packed(plane, kind)))
    assert np.abs(read(folder).volume.array.astype(int) - SMOOTH).max() <= off
    cut = write_slices(tmp_path / "c", SMOOTH, compressed(syntax, lambda plane: packed(plane, kind)[:200]))
    assert "cannot be decoded" in refusal(cut, decode=decode_dicom)


def test_run_length_and_deflated_slices(tmp_path):
    folder = write_slices(tmp_path / "r", SMOOTH, lambda data, index: data.compress(RLELossless))
    np.testing.assert_array_equal(read(folder).volume.array, SMOOTH)
    folder = write_slices(
        tmp_path / "d", SMOOTH, lambda d, k: setattr(d.file_meta, "TransferSyntaxUID", DeflatedExplicitVRLittleEndian)
    )
    np.testing.assert_array_equal(read(folder).volume.array, SMOOTH)
    path = folder / "IM0002"
    path.write_bytes(path.read_bytes()[:-20])
    refusal(folder)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders(tmp_path, syntax):
    array = SMOOTH.astype(np.int16) - 50

    def change(data, index):
        data.file_meta.TransferSyntaxUID = syntax
        data["PixelData"].VR = "OW"
        if syntax == ExplicitVRBigEndian:
            data.PixelData = array[index].astype(">i2").tobytes()

    folder = tmp_path / "s"
    folder.mkdir()
    for index, plane in enumerate(array):
        data = dicom_set(plane, index)
        change(data, index)
        little = syntax == ImplicitVRLittleEndian
        dcmwrite(folder / f"{index}", data, implicit_vr=little, little_endian=little, force_encoding=True)
    np.testing.assert_array_equal(read(folder).volume.array, array)


def test_itk_decodes_what_pydicom_cannot_and_says_nothing_itself(tmp_path, capfd):
    folder = write_slices(tmp_path / "s", SMOOTH, compressed(JPEGBaseline8Bit, lambda plane: packed(plane, "JPEG")))
    pixels = decode_dicom(folder / "IM0002")
    assert pixels.shape == (1, *SMOOTH.shape[1:], 1) and np.abs(pixels[0, ..., 0].astype(int) - SMOOTH[2]).max() <= 5
    bad = write_slices(tmp_path / "b", SMOOTH, compressed(JPEGLSLossless, lambda plane: b"\xff\xd8no JPEG-LS"))
    assert "JPEG-LS" in refusal(bad, decode=decode_dicom)
    assert decode_dicom(tmp_path / "none") is None
    assert "".join(capfd.readouterr()) == ""


def test_grey_in_three_channels_is_grey_and_colour_is_named(tmp_path):
    grey = np.repeat(SMOOTH[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read(write_slices(tmp_path / "a", grey)).volume.array, SMOOTH)
    planar = {"PlanarConfiguration": 1, "PixelData": b""}

    def by_plane(data, index):
        data.PixelData = np.moveaxis(grey[index], -1, 0).tobytes()

    np.testing.assert_array_equal(read(write_slices(tmp_path / "b", grey, by_plane, **planar)).volume.array, SMOOTH)
    chroma = np.concatenate([SMOOTH[..., None], np.full((*SMOOTH.shape, 2), 128, np.uint8)], axis=-1)
    folder = write_slices(tmp_path / "c", chroma, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_array_equal(read(folder).volume.array, SMOOTH)
    grey[3, 3, 3, 2] ^= 1
    assert "IM0003 have several values per voxel" in refusal(write_slices(tmp_path / "d", grey))
    assert "palette" in refusal(write_slices(tmp_path / "e", SMOOTH, PhotometricInterpretation="PALETTE COLOR"))


def test_inverted_and_rescaled_values(tmp_path):
    inverted = write_slices(tmp_path / "a", 255 - SMOOTH, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(inverted).volume.array, SMOOTH)
    shifted = write_slices(tmp_path / "b", SMOOTH, RescaleSlope=1, RescaleIntercept=-1024)
    np.testing.assert_array_equal(read(shifted).volume.array, SMOOTH.astype(int) - 1024)
    scaled = write_slices(tmp_path / "c", SMOOTH, lambda d, k: setattr(d, "RescaleSlope", 0.5 + k), RescaleIntercept=2)
    slopes = (0.5 + np.arange(len(SMOOTH)))[:, None, None]
    np.testing.assert_allclose(read(scaled).volume.array, SMOOTH * slopes + 2)


@pytest.mark.parametrize(
    "sizes", [{"NumberOfFrames": 2_000_000_000}, {"Rows": 65535, "Columns": 65535, "NumberOfFrames": 2}]
)
def test_sizes_beyond_any_volume_are_refused_before_anything_is_allocated(tmp_path, sizes):
    data = multiframe(SMOOTH, PixelSpacing=[1, 1], SpacingBetweenSlices=1, **sizes)
    assert "more than any ultrasound volume" in refusal(save_dicom(data, tmp_path / "a.dcm"))
