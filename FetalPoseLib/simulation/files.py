"""A simulated volume and its true landmarks as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib import __version__
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable
from FetalPoseLib.simulation import DEFAULT_SPACING_MM
from FetalPoseLib.simulation.datasets import Case, simulate, simulate_subject

SPACINGS_MM = (0.3, 3.0)  # finer needs more memory than a computer has, coarser shows no limbs


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """Which fetus is simulated, either by `seed` or by `split` and `subject`, and where its files go."""

    output: Path  #: of the volume, .nrrd, .nii.gz or .mha
    landmarks: Path  #: of the truth, .mrk.json
    seed: int | None = None  #: which body, from 0 without end
    split: str | None = None  #: a set of Sim-152, such as "test" or "test2"
    subject: int | None = None  #: index in the split, from 0
    spacing: float = DEFAULT_SPACING_MM  #: of the voxels, mm


def simulate_files(options: SimulationOptions) -> Case:
    """Simulate a fetus, and write its volume and its landmarks; what was simulated.

    Raises
    ------
    FetalPoseError
        There is no such subject, the spacing cannot be simulated, or a file cannot be written.
    """
    if (options.seed is None) == (options.split is None) or (options.split is None) != (options.subject is None):
        raise FetalPoseError("Choose either a seed, or both a split and a subject.")
    if not SPACINGS_MM[0] <= options.spacing <= SPACINGS_MM[1]:
        low, high = SPACINGS_MM
        raise FetalPoseError(f"A spacing of {options.spacing:g} mm cannot be simulated. Choose {low:g} to {high:g} mm.")
    check_writable(options.output, ".nrrd", ".nii.gz", ".mha")
    check_writable(options.landmarks, ".mrk.json")

    from FetalPoseLib import scene as mrml
    from FetalPoseLib.network.memory import keep_freed_memory

    keep_freed_memory()
    case = _simulated(options)
    scene, name = mrml.new_scene(), f"{case.name} (simulated)"
    pose = mrml.create_pose(scene, name)
    mrml.set_estimate(pose, case.landmarks, provenance={"Source": f"simulated, {case.name}", "Version": __version__})
    mrml.write_volume(mrml.add_volume(scene, case.volume, name), options.output)
    mrml.save_pose(pose, options.landmarks)
    return case


def _simulated(options: SimulationOptions) -> Case:
    try:
        if options.seed is not None:
            return simulate_subject(options.seed, spacing=options.spacing)
        assert options.split is not None and options.subject is not None
        return simulate(options.split, options.subject, spacing=options.spacing)
    except ValueError as error:  # a number beyond the split
        raise FetalPoseError(str(error)) from error
