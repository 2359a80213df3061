"""The cases of a training: to train on and to validate on, simulated or one's own, with a bar for each."""

from __future__ import annotations

import sys
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.training.models import Model
from FetalPoseLib.training.options import TrainingOptions


def validation_cases(options: TrainingOptions, folder: Path, model: Model, simulation_options: dict) -> list:
    """The cases to measure the error on: the user's, or the validation subjects of Sim-152."""
    from FetalPoseLib.training.background import Simulation, validation_subjects
    from FetalPoseLib.training.pool import Pool, load_case

    if options.validation:
        return [load_case(path) for path in convert_own(options.validation, folder, model)]
    if options.data:
        print(
            "There are no volumes for validation: the error is not measured, and the last weights are kept.",
            file=sys.stderr,
        )
        return []
    subjects = validation_subjects(presentation=options.presentation, factors=factors_of(options.without))
    with Simulation(folder, subjects, **simulation_options) as simulation:
        wait(simulation, len(subjects))
    pool = Pool(folder)
    pool.refresh()
    return pool.cases


def convert_own(source: Path, pool: Path, model: Model) -> list[Path]:
    """The user's volumes as cases in ``pool``, with a bar; says which landmarks are not visible."""
    import numpy as np
    from tqdm import tqdm

    from FetalPoseLib.training.folders import convert, count_not_visible
    from FetalPoseLib.training.pool import load_case

    with tqdm(desc=f"reading {source}", unit="volume", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        frame = any(p.task == "detect" for p in model.passes)
        cases = convert(source, pool, spacing=model.spacing, frame=frame, progress=show)
    missing = count_not_visible(np.array([load_case(path).landmarks for path in cases]))
    if missing:
        listed = ", ".join(f"{name} {count}" for name, count in missing.items())
        print(f"{source}: not visible in some of the {len(cases)} volumes: {listed}", file=sys.stderr)
    return cases


def write_library(options: TrainingOptions, cases: list[Path]) -> None:
    """The poses of the cases as a library for refinement; FetalPoseError if none is complete."""
    from FetalPoseLib.files import replacing
    from FetalPoseLib.training.library import library_of
    from FetalPoseLib.training.pool import load_case

    library = library_of(
        [load_case(path).landmarks for path in cases], [path.stem for path in cases], str(options.data)
    )
    with replacing(options.library) as temporary:
        library.save(temporary)
    print(f"wrote {options.library}: {len(library)} of {len(cases)} poses are complete")


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
