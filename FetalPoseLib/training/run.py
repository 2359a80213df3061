"""Training of a model from its options: the cases, one network after the other, and the file in the end."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, locked
from FetalPoseLib.network.device import device_named
from FetalPoseLib.training import adapting
from FetalPoseLib.training.cases import factors_of, own_cases, simulated_validation, wait
from FetalPoseLib.training.models import MODELS, Model, Pass
from FetalPoseLib.training.options import SIMULATED_CASES, VALIDATE_EVERY, TrainingOptions, check

EPOCH = 800  # steps: Sim-152's 100 training subjects in 8 views, section 3
FIRST_CASES = 16  # simulated before the first step; fewer would be learnt by heart


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
    check(options)
    from FetalPoseLib.training.curves import draw_curves
    from FetalPoseLib.training.export import export_model

    model = MODELS[options.model]
    folder = options.folder or Path("runs") / (options.model + "-adapted" * adapting.is_adapting(options))
    if not options.export:
        _make(folder)
        with locked(folder, wait_s=0, advice="Another training writes there. Wait for it, or choose another folder."):
            _train(options, model, folder)
    passes = {p.task: folder / (options.method or p.task) for p in model.passes}
    missing = [name for name, path in passes.items() if not (path / "state.pt").exists()]
    if options.only and missing:
        print(f"'{options.only}' is trained. {options.output} is written once '{missing[0]}' is, too.")
        return
    before = {f"{p.task}, before": folder / p.task for p in model.passes if options.method}
    metadata = export_model(
        passes, options.output, precision=options.precision, before=before, last=bool(options.method)
    )
    for name, history in metadata["trained"].items():
        print(f"{name}: {_told(history)}")
    if options.curves:
        draw_curves({**before, **{options.method or name: path for name, path in passes.items()}}, options.curves)
    print(f"wrote {options.output} ({options.output.stat().st_size / 2**20:.1f} MiB), SHA-256 {metadata['sha256']}")


def _told(history: dict) -> str:
    """What became of a network, in a few words."""
    error, before = history["validation"].get("mean_mm"), history["validation"].get("before_mm")
    if before is not None and not history["steps"]:
        return f"as it was, {before:.2f} mm on validation; no step was better"
    told = f"{history['steps']} steps" + ("" if error is None else f", {error:.2f} mm on validation")
    return told + ("" if before is None else f", {before:.2f} mm before")


def _train(options: TrainingOptions, model: Model, folder: Path) -> None:
    import torch

    from FetalPoseLib.network.memory import keep_freed_memory
    from FetalPoseLib.training.background import Simulation, training_subjects

    keep_freed_memory()
    device = device_named(options.device)
    passes = [p for p in model.passes if options.only in (None, p.task)]
    _check_resume(options, [folder / (options.method or p.task) for p in passes])
    cases, first = _simulated(options)
    workers = options.workers or max(1, _cores() // 2)
    simulation_options = {"spacing": model.spacing, "workers": workers, "device": device}
    if options.data:
        left_out, validation = own_cases(options, folder, model)
    else:
        left_out, validation = [], simulated_validation(options, folder / "validation", simulation_options)
    subjects = training_subjects(cases, presentation=options.presentation, without=factors_of(options.without))
    with Simulation(folder / "pool", subjects, **simulation_options) as simulation:
        wait(simulation, min(first, cases))
        if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:  # a core for each simulating process
            torch.set_num_threads(max(1, _cores() - (workers if cases else 0)))
        for p in passes:
            _train_pass(options, model, p, folder, left_out, validation, device)


def _train_pass(
    options: TrainingOptions, model: Model, which: Pass, folder: Path, left_out: list, validation: list, device: str
) -> None:
    import torch

    from FetalPoseLib.network.unet import LandmarkNet
    from FetalPoseLib.training.methods import METHOD_NAMED, begin_with
    from FetalPoseLib.training.pool import Pool
    from FetalPoseLib.training.start import network_from
    from FetalPoseLib.training.tasks import make_task

    recipe = _recipe(options, model, which, device)
    task = make_task(which.task, which.spacing)
    torch.manual_seed(recipe.seed)
    method, name = METHOD_NAMED[options.method or "land"], options.method or which.task
    net = network_from(options.start, which.task) if options.start else LandmarkNet(
        out_channels=task.channels, width=options.width or which.width, recurrence=method.recurrence,
        checkpointing=model.checkpointing if options.checkpointing is None else options.checkpointing == "on",
        input_stride=options.input_stride or model.input_stride,
    )  # fmt: skip
    if options.method:
        begin_with(net, folder / which.task / "state.pt")
    every = VALIDATE_EVERY
    if adapting.is_adapting(options):
        every, validation = adapting.VALIDATE_EVERY, adapting.looks(validation, in_frame=task.lower is not None)
    trainer = method.trainer(
        net,
        task,
        recipe,
        Pool(folder / "pool", left_out),
        validation,
        folder / name,
        validate_every=options.validate_every or every,
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
    from FetalPoseLib.training.recipes import RECIPES

    started = "adapted" if adapting.is_adapting(options) else "continued" if options.start else model.recipe
    usual = "compared" if options.method else started
    recipe, steps = RECIPES[options.recipe or usual], which.steps
    if adapting.is_adapting(options):
        steps = adapting.STEPS[which.task]
    if options.method:  # the learning rate falls to the end: all are compared at rest
        recipe, steps = replace(recipe, decay=1.0), EPOCH
    bfloat16 = recipe.bfloat16 and has_bfloat16(device)
    return replace(recipe, steps=options.steps or steps, seed=options.seed, bfloat16=bfloat16)


def _simulated(options: TrainingOptions) -> tuple[int, int]:
    """How many fetuses are simulated, and how many of them before the first step."""
    if adapting.is_adapting(options):
        return (adapting.SIMULATED if options.cases is None else options.cases), adapting.FIRST_CASES
    return (0 if options.data else SIMULATED_CASES) if options.cases is None else options.cases, FIRST_CASES


def _check_resume(options: TrainingOptions, folders: list[Path]) -> None:
    found = [folder for folder in folders if (folder / "state.pt").exists()]
    if found and options.resume == "never":
        raise FetalPoseError(f"{found[0]} holds a training already. Choose another folder, or delete it.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another.") from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
