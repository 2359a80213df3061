"""Files are read by the project's own readers: what they say does not depend on the version of Slicer's core."""

import subprocess
import sys

import numpy as np
from volume_files import nifti, nrrd, picture

READ = """
import sys
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import read
for path in sys.argv[1:]:
    try:
        read(path)
        print("read")
    except FetalPoseError as error:
        print(error)
print(read(sys.argv[1], frame=2).volume.array.sum())
print([name for name in ("slicer", "slicer_core", "vtk", "itk", "SimpleITK") if name in sys.modules])
"""


def test_volumes_over_time_and_colour_are_told_without_slicer(tmp_path):
    frames = np.stack([picture(seed=0), picture(seed=1)])
    film, colour = tmp_path / "film.nii", tmp_path / "colour.nrrd"
    film.write_bytes(nifti(frames))
    array = np.random.default_rng(0).integers(0, 255, (*picture().shape, 3), dtype=np.uint8)
    directions = "none (0.9,0,0) (0,0.9,0) (0,0,0.9)"
    colour.write_bytes(nrrd(array, kinds="RGB-color domain domain domain", space_directions=directions))
    done = subprocess.run([sys.executable, "-c", READ, film, colour], capture_output=True, text=True, check=True)
    of_film, of_colour, of_second, loaded = done.stdout.splitlines()
    assert "4D series of 2 volumes over time. Choose one" in of_film
    assert "colour" in of_colour
    assert int(of_second) == int(frames[1].sum(dtype=np.int64)) and loaded == "[]"
