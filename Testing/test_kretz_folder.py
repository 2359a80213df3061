"""A GE Kretz volume in the folder of an exam, beside pictures, films and other volumes."""

import numpy as np
import pytest
from kretz_files import dicom, kretz, toroidal
from volume_files import picture, write_slices

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.kretz import read_kretz
from FetalPoseLib.scene.kretz import samples_of


def exam(folder, *names: str):
    """An exam with one Kretz volume in DICOM per name, a picture, and a file of another kind."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(kretz(toroidal())))
    (folder / "contents.txt").write_text("a list")
    (folder / "picture.dcm").write_bytes(dicom(b"", creator=b"OTHER"))
    return folder


@pytest.mark.parametrize("name", ["IM0007", "study/IM0007.dcm"])
def test_the_kretz_volume_of_an_exam_is_found(scene, tmp_path, name):
    folder = exam(tmp_path / "exam", name)
    node = mrml.read_volume(scene, folder)
    assert node.GetName() == "exam" and [doubt.code for doubt in mrml.doubts_of(node)][:1] == ["sides"]
    np.testing.assert_array_equal(samples_of(node).array, read_kretz(folder / name).volume.array)


def test_several_are_named_and_none_is_chosen(scene, tmp_path):
    folder = exam(tmp_path / "exam", "IM0007", "IM0008")
    with pytest.raises(FetalPoseError, match=r"holds 2 GE Kretz volumes \(IM0007, IM0008\). Choose one"):
        mrml.read_volume(scene, folder)


def test_one_beside_a_series_is_not_chosen_either(scene, tmp_path):
    write_slices(tmp_path / "exam", picture((4, 8, 8)))
    (tmp_path / "exam" / "volume.vol").write_bytes(kretz(toroidal()))
    with pytest.raises(FetalPoseError, match="two volumes: volume.vol, a GE Kretz volume, and a DICOM series"):
        mrml.read_volume(scene, tmp_path / "exam")


def test_a_folder_of_volume_files_names_them(scene, tmp_path):
    for number in range(7):
        (tmp_path / f"case{number}.nrrd").write_bytes(b"NRRD0004")
    with pytest.raises(FetalPoseError, match=r"volume files \(case0.nrrd.* and 2 more\). Choose one of them"):
        mrml.read_volume(scene, tmp_path)
