"""GE Kretz files that cannot be believed, and what is never said of the patient, whatever the file."""

import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from traceback import format_exception

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kretz_files import (
    ARRAY,
    GRID,
    HOSPITAL,
    PATIENT,
    cartesian_items,
    changed,
    dicom,
    doubles,
    film,
    item,
    kretz,
    toroidal,
    written,
    zipped,
)

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading import foreign
from FetalPoseLib.reading.foreign import FORMATS_PAGE, check_not_foreign
from FetalPoseLib.reading.kretz import is_kretz, read_kretz
from FetalPoseLib.reading.kretz_items import KretzItems

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
