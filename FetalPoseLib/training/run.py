"""Training of a model from its options: the cases, one network after the other, and the file in the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable
from FetalPoseLib.network.device import device_named
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.training.models import MODELS, Model, Pass

EPOCH = 800  # steps: Sim-152's 100 training subjects in 8 views, section 3
FIRST_CASES = 16  # simulated before the first step; fewer would be learnt by heart


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What to train, on what, and how; None is the model's own."""

    model: str  #: a key of `MODELS`
    output: Path  #: where the trained model goes, .safetensors
    data: Path | None = None  #: folder of one's own volumes; None: simulated ones
    validation: Path | None = None  #: folder of one's own volumes to measure the error on
    folder: Path | None = None  #: what the training keeps; None: runs/MODEL
    only: str | None = None  #: train one of fetal-frame's networks only: "locate", "orient" or "detect"
    steps: int | None = None  #: for each network
    start: str | None = None  #: a bundled model or a file whose weights to start from
    without: Sequence[str] = ()  #: FACTOR=VALUE of simulated fetuses to leave out and to validate on
    presentation: str = "any"  #: how simulated fetuses lie: "any" or "standard"
    recipe: str | None = None  #: "paper", "shipped", "continued" or "compared"
    method: str | None = None  #: "land", "rnn", "gan" or "pair", of the paper's tables
    checkpointing: str | None = None  #: of gradients: "on" or "off"
    width: int | None = None  #: channels of the first level
    input_stride: int | None = None  #: 2 halves the resolution inside
    seed: int = 1  #: of weights and augmentation
    cases: int | None = None  #: fetuses to simulate; None: 1000, or none with data
    workers: int | None = None  #: processes that simulate; None: half of the cores
    resume: str = "automatic"  #: "automatic" goes on with a training in the folder, "never" refuses to
    export: bool = False  #: write the model from what has been trained, and train no further
    curves: Path | None = None  #: picture of loss and error over the steps
    precision: str = "float16"  #: of the weights in the file: "float16", "int8" or "int4"
    library: Path | None = None  #: with data: also write the poses as a library for refinement
    validate_every: int = 500  #: steps between validations
    device: str = EstimateOptions.device  #: one of `network.device.DEVICES`


def train(options: TrainingOptions) -> None:
    """Train a model and write it; a training that was stopped goes on from its last step.

    Raises
    ------
    FetalPoseError
        An option does not go with another, a folder holds no usable volumes, or a file cannot be written.
    KeyboardInterrupt
        after Ctrl-C, once the step in hand is done.
    """
    check_writable(options.output, ".safetensors")
    _check(options)
    from FetalPoseLib.training.curves import draw_curves
    from FetalPoseLib.training.export import export_model

    model = MODELS[options.model]
    folder = options.folder or Path("runs") / options.model
    if not options.export:
        _train(options, model, folder)
    passes = {p.task: folder / (options.method or p.task) for p in model.passes}
    missing = [name for name, path in passes.items() if not (path / "state.pt").exists()]
    if options.only and missing:
        print(f"'{options.only}' is trained. {options.output} is written once --pass {missing[0]} is, too.")
        return
    before = {f"{p.task}, before": folder / p.task for p in model.passes if options.method}
    metadata = export_model(
        passes, options.output, precision=options.precision, before=before, last=bool(options.method)
    )
    for name, history in metadata["trained"].items():
        error = history["validation"].get("mean_mm")
        print(f"{name}: {history['steps']} steps" + ("" if error is None else f", {error:.2f} mm on validation"))
    if options.curves:
        draw_curves({**before, **{options.method or name: path for name, path in passes.items()}}, options.curves)
    print(f"wrote {options.output} ({options.output.stat().st_size / 2**20:.1f} MiB), SHA-256 {metadata['sha256']}")


def _check(options: TrainingOptions) -> None:
    if options.method and options.model == "fetal-frame":
        raise FetalPoseError(f"--method {options.method} is a variant of the paper's models. Choose --model r4 or gcp.")
    if options.only and options.model != "fetal-frame":
        raise FetalPoseError(
            f"--pass {options.only} is a part of fetal-frame; {options.model} has one network. Drop it."
        )
    if options.curves:
        check_writable(options.curves, ".png")
    if options.library:
        if not options.data:
            raise FetalPoseError("--library takes the poses from --data. Give that folder, too.")
        check_writable(options.library, ".npz")
    if options.cases is not None and options.cases < (0 if options.data else 1):
        raise FetalPoseError(f"--cases {options.cases} leaves nothing to train on. Give 1 or more, or --data.")


def _train(options: TrainingOptions, model: Model, folder: Path) -> None:
    import torch

    from FetalPoseLib.network.memory import keep_freed_memory
    from FetalPoseLib.training.background import Simulation, training_subjects

    keep_freed_memory()
    device = device_named(options.device)
    passes = [p for p in model.passes if options.only in (None, p.task)]
    _check_resume(options, [folder / (options.method or p.task) for p in passes])
    _make(folder)
    cases = (0 if options.data else 1000) if options.cases is None else options.cases
    workers = options.workers or max(1, _cores() // 2)
    simulation_options = {"spacing": model.spacing, "workers": workers, "device": device}
    if options.data:
        own = _convert(options.data, folder / "pool", model)
        if options.library:
            _write_library(options, own)
    validation = _validation(options, folder / "validation", model, simulation_options)
    subjects = training_subjects(cases, presentation=options.presentation, without=_factors(options.without))
    with Simulation(folder / "pool", subjects, **simulation_options) as simulation:
        _wait(simulation, min(FIRST_CASES, cases))
        if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:  # a core for each simulating process
            torch.set_num_threads(max(1, _cores() - (workers if cases else 0)))
        for p in passes:
            _train_pass(options, model, p, folder, validation, device)


def _train_pass(
    options: TrainingOptions, model: Model, which: Pass, folder: Path, validation: list, device: str
) -> None:
    import torch

    from FetalPoseLib.network.unet import LandmarkNet
    from FetalPoseLib.training.methods import METHODS, begin_with
    from FetalPoseLib.training.pool import Pool
    from FetalPoseLib.training.start import network_from
    from FetalPoseLib.training.tasks import make_task

    recipe = _recipe(options, model, which, device)
    task = make_task(which.task, which.spacing)
    torch.manual_seed(recipe.seed)
    method, name = METHODS[options.method or "land"], options.method or which.task
    net = network_from(options.start, which.task) if options.start else LandmarkNet(
        out_channels=task.channels, width=options.width or which.width, recurrence=method.recurrence,
        checkpointing=model.checkpointing if options.checkpointing is None else options.checkpointing == "on",
        input_stride=options.input_stride or model.input_stride,
    )  # fmt: skip
    if options.method:
        begin_with(net, folder / which.task / "state.pt")
    trainer = method.trainer(
        net,
        task,
        recipe,
        Pool(folder / "pool"),
        validation,
        folder / name,
        validate_every=options.validate_every,
        device=device,
    )
    if trainer.resume():
        print(f"{name}: going on from step {trainer.step} of {recipe.steps}")
    with _stopping(trainer):
        trainer.run()
    if trainer.stopped:
        print(f"{name}: stopped at step {trainer.step}; the same command goes on from there.", file=sys.stderr)
        raise KeyboardInterrupt


@contextmanager
def _stopping(trainer):
    """Ctrl-C has the trainer end after its step in hand: half a step cannot be gone on from. A second ends at once."""

    def stop(*_) -> None:
        trainer.stopped = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _recipe(options: TrainingOptions, model: Model, which: Pass, device: str):
    from dataclasses import replace

    from FetalPoseLib.network.precision import has_bfloat16
    from FetalPoseLib.training.detector import COMPARED, CONTINUED, SHIPPED, Recipe

    recipes = {"paper": Recipe(), "shipped": SHIPPED, "continued": CONTINUED, "compared": COMPARED}
    usual = "compared" if options.method else "continued" if options.start else model.recipe
    recipe, steps = recipes[options.recipe or usual], which.steps
    if options.method:  # the learning rate falls to the end: all are compared at rest
        recipe, steps = replace(recipe, decay=1.0), EPOCH
    bfloat16 = recipe.bfloat16 and has_bfloat16(device)
    return replace(recipe, steps=options.steps or steps, seed=options.seed, bfloat16=bfloat16)


def _validation(options: TrainingOptions, folder: Path, model: Model, simulation_options: dict) -> list:
    """The cases to measure the error on: the user's, or the validation subjects of Sim-152."""
    from FetalPoseLib.training.background import Simulation, validation_subjects
    from FetalPoseLib.training.pool import Pool, load_case

    if options.validation:
        return [load_case(path) for path in _convert(options.validation, folder, model)]
    if options.data:
        print("There is no --validation: the error is not measured, and the last weights are kept.", file=sys.stderr)
        return []
    subjects = validation_subjects(presentation=options.presentation, factors=_factors(options.without))
    with Simulation(folder, subjects, **simulation_options) as simulation:
        _wait(simulation, len(subjects))
    pool = Pool(folder)
    pool.refresh()
    return pool.cases


def _convert(source: Path, pool: Path, model: Model) -> list[Path]:
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


def _write_library(options: TrainingOptions, cases: list[Path]) -> None:
    from FetalPoseLib.files import replacing
    from FetalPoseLib.training.library import library_of
    from FetalPoseLib.training.pool import load_case

    library = library_of(
        [load_case(path).landmarks for path in cases], [path.stem for path in cases], str(options.data)
    )
    with replacing(options.library) as temporary:
        library.save(temporary)
    print(f"wrote {options.library}: {len(library)} of {len(cases)} poses are complete")


def _wait(simulation, count: int) -> None:
    from tqdm import tqdm

    if not count:
        return
    with tqdm(total=count, desc=f"simulating {simulation.folder.name}", unit="case", file=sys.stderr) as bar:
        simulation.wait_for(count, lambda done: bar.update(min(done, count) - bar.n))


def _factors(texts: list[str]) -> dict[str, str]:
    """Factors by name, from FACTOR=VALUE."""
    from dataclasses import fields

    from FetalPoseLib.simulation.scenario import Factors

    names = [field.name for field in fields(Factors)]
    pairs = dict(text.partition("=")[::2] for text in texts)
    for name, value in pairs.items():
        if name not in names or not value:
            raise FetalPoseError(f"--without {name}={value} names no factor. Give one of {', '.join(names)}.")
    return pairs


def _check_resume(options: TrainingOptions, folders: list[Path]) -> None:
    found = [folder for folder in folders if (folder / "state.pt").exists()]
    if found and options.resume == "never":
        raise FetalPoseError(f"{found[0]} holds a training already. Choose another --folder, or delete it.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another --folder.") from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
