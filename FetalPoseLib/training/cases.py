"""The cases of a training: to train on and to validate on, simulated or one's own, with a bar for each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.training.models import Model
from FetalPoseLib.training.options import TrainingOptions

if TYPE_CHECKING:  # it imports torch
    from FetalPoseLib.training.pool import PoolCase

FEW = 4  # volumes, below which adapting is hardly worth its while


def own_cases(options: TrainingOptions, folder: Path, model: Model) -> tuple[list[str], list[PoolCase]]:
    """The user's volumes as cases in ``folder``, and their poses as a library if one is asked for.

    Returns
    -------
    names of those in the pool that are not to be learnt from, and the cases to measure the error on

    Raises
    ------
    FetalPoseError
        See `convert_own`; a patient or a volume stands on both sides; there are too few to adapt to.
    """
    from FetalPoseLib.training.adapting import check_same_data, is_adapting
    from FetalPoseLib.training.patients import check_apart, check_differ, held_out, patients_of
    from FetalPoseLib.training.pool import OWN, load_case

    assert options.data is not None
    if options.validation and options.validation.resolve() == options.data.resolve():
        raise FetalPoseError(
            f"{options.data} is both the data and the validation. What was learnt from tells nothing about others: "
            "give another folder, or leave --validation out."
        )
    own = convert_own(options.data, folder / "pool", model, mirrored=options.mirrored)
    patients = patients_of(options.data, own)
    validation, left_out = [], []
    if options.validation:
        validation = convert_own(options.validation, folder / "validation", model, mirrored=options.mirrored)
        check_apart(patients, patients_of(options.validation, validation))
    elif is_adapting(options):
        left_out = held_out(patients)
        validation = [path for path in own if path.stem in left_out]
    check_differ([*own, *(path for path in validation if path not in own)])
    learnt = [path for path in own if path.stem not in left_out]
    if is_adapting(options):
        check_same_data(folder, {"data": learnt, "validation": validation})
        if len(own) < FEW:
            print(f"Volumes of your own: {len(own)}. That is few; 8 or more are better.", file=sys.stderr)
        names = ", ".join(path.stem.removeprefix(OWN) for path in validation)
        print(f"{len(learnt)} volumes to learn from, {len(validation)} to check on: {names}")
    elif not options.validation:
        print(
            "There are no volumes for validation: the error is not measured, and the last weights are kept.",
            file=sys.stderr,
        )
    if options.library:
        write_library(options, own)
    return left_out, [load_case(path) for path in validation]


def simulated_validation(options: TrainingOptions, folder: Path, simulation_options: dict) -> list[PoolCase]:
    """The validation subjects of Sim-152, or others that have the factors left out, as cases in ``folder``."""
    from FetalPoseLib.training.background import Simulation, validation_subjects
    from FetalPoseLib.training.pool import Pool

    subjects = validation_subjects(presentation=options.presentation, factors=factors_of(options.without))
    with Simulation(folder, subjects, **simulation_options) as simulation:
        wait(simulation, len(subjects))
    pool = Pool(folder)
    pool.refresh()
    return pool.cases


def convert_own(source: Path, pool: Path, model: Model, *, mirrored: bool = False) -> list[Path]:
    """The user's volumes as cases in ``pool``, with a bar and what is in doubt about them."""
    import numpy as np
    from tqdm import tqdm

    from FetalPoseLib.training.folders import convert, count_not_visible
    from FetalPoseLib.training.fpose import is_fpose, sides_sentence
    from FetalPoseLib.training.pool import load_case

    with tqdm(desc=f"reading {source}", unit="volume", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        def say(sentence: str) -> None:
            bar.write(sentence, file=sys.stderr)

        frame = any(p.task == "detect" for p in model.passes)
        cases = convert(source, pool, spacing=model.spacing, frame=frame, mirrored=mirrored, progress=show, warn=say)
    if is_fpose(source):
        print(sides_sentence(mirrored), file=sys.stderr)
    missing = count_not_visible(np.array([load_case(path).landmarks for path in cases]))
    if missing:
        listed = ", ".join(f"{name} {count}" for name, count in missing.items())
        print(f"{source}: not visible in some of the {len(cases)} volumes: {listed}", file=sys.stderr)
    return cases


def write_library(options: TrainingOptions, cases: list[Path]) -> None:
    """The poses of the cases as a library for refinement; with weights to start from, the bundled atlases as well.

    FetalPoseError if none is complete.
    """
    from FetalPoseLib.body.pose_library import PoseLibrary
    from FetalPoseLib.files import replacing
    from FetalPoseLib.resources import resource_path
    from FetalPoseLib.training.library import library_of
    from FetalPoseLib.training.pool import load_case

    assert options.library is not None
    own = library_of([load_case(path).landmarks for path in cases], [path.stem for path in cases], str(options.data))
    library = own.joined([PoseLibrary.load(resource_path("pose_library.npz"))]) if options.start else own
    with replacing(options.library) as temporary:
        library.save(temporary)
    more = f", and {len(library) - len(own)} bundled ones are with them" if options.start else ""
    print(f"wrote {options.library}: {len(own)} of {len(cases)} poses are complete{more}")


def wait(simulation, count: int) -> None:
    """Return once the simulation has made so many cases."""
    from tqdm import tqdm

    if not count:
        return
    with tqdm(total=count, desc=f"simulating {simulation.folder.name}", unit="case", file=sys.stderr) as bar:
        simulation.wait_for(count, lambda done: bar.update(min(done, count) - bar.n))


def factors_of(texts: list[str]) -> dict[str, str]:
    """Factors by name, from FACTOR=VALUE."""
    from dataclasses import fields

    from FetalPoseLib.simulation.scenario import Factors

    names = [field.name for field in fields(Factors)]
    pairs = dict(text.partition("=")[::2] for text in texts)
    for name, value in pairs.items():
        if name not in names or not value:
            raise FetalPoseError(
                f"{name}={value} names no factor of simulated fetuses to leave out. Give one of {', '.join(names)}."
            )
    return pairs
