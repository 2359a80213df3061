"""Train a model, on simulated fetuses or on your own annotated volumes, and write the file that 'estimate' opens.

  fetalpose train --model fetal-frame --output mine.safetensors
  fetalpose train --model fetal-frame --data volumes/ --validation held_out/ --output mine.safetensors
  fetalpose estimate volume.nrrd --model mine.safetensors --output pose.mrk.json

Without --data, fresh fetuses are simulated by processes in the background while the network trains.

Your own data
  --data and --validation are folders of NRRD, NIfTI or MetaImage volumes, each with its landmarks beside it as
  Slicer saves them, under the same name:
    volumes/patient01.nrrd   volumes/patient01.mrk.json
    volumes/patient02.nii.gz volumes/patient02.mrk.json
  The markups hold the 16 points head, right_shoulder, neck, left_shoulder, left_elbow, left_wrist, spine, sacrum,
  right_elbow, right_wrist, right_hip, right_knee, right_ankle, left_hip, left_knee, left_ankle; left and right are the
  fetus's own. A point left unset says that it cannot be seen, and is learnt so. Any spacing and direction will do.
  'fetalpose simulate' makes such a pair to look at. Keep all volumes of a patient on one side: in --data or in
  --validation. With --cases N, N simulated fetuses are added to your own, which helps when those are few.

Models
  fetal-frame  three networks: 'locate' finds the fetus in the whole volume, 'orient' sees how it is turned, 'detect'
               finds its landmarks in the fetus's own frame
  r4, gcp      the paper's single network on the whole volume at 1.25 mm, and at 1.0 mm with gradient checkpointing

Recipes
  paper        L2, Adam with learning rate 1e-3 and beta1 0.5, batch size 1 (section 3); the default of r4 and gcp
  shipped      also weighs the maps' peaks, warms up, lowers the learning rate at the end, averages the weights, and
               computes in bfloat16 where the processor can; of the bundled fetal-frame, and its default
  continued    shipped at half the learning rate; the default with --from
  compared     the paper's, with weighed peaks, warm-up, averaged weights, short gradients and bfloat16; of the bundled
               r4 and gcp

Methods
  With --method, r4 or gcp go on from the detector in --folder for --steps (default 800, one epoch) as one of the
  methods that the paper compares, with a learning rate that falls to 0, each in a folder and an output of its own:
    land  as before      rnn  with a recurrent layer      gan  against a discriminator      pair  with the pair loss
  fetalpose train --model r4 --cases 100 --input-stride 2 --recipe compared --steps 8000 --output r4.safetensors
  fetalpose train --model r4 --cases 100 --input-stride 2 --method gan --output r4-gan.safetensors

Time: 'fetal-frame' takes two to three hours on two CPU cores, while these simulate some 400 fetuses
(5 to 30 seconds each). 'r4' and 'gcp' are for a GPU; on a CPU take --input-stride 2, and --checkpointing off where
memory allows.

Stopping: Ctrl-C ends after the step in hand, and the same command goes on from there. All that is needed lies in
--folder: the cases, and for each network state.pt, best.pt (least error on validation) and log.jsonl, a line for each
validation. --export writes the model from what there is without training any further.
"""

import argparse
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable

EPOCH = 800  # steps: Sim-152's 100 training subjects in 8 views, section 3
FIRST_CASES = 16  # simulated before the first step; fewer would be learnt by heart


@dataclass(frozen=True)
class Pass:
    """One network of a model: its task, at which spacing (mm), how wide it is, and for how many steps it trains."""

    task: str
    spacing: float
    width: int
    steps: int


@dataclass(frozen=True)
class Model:
    """What ``--model`` stands for; ``spacing`` (mm) is that of the cases on disk."""

    passes: tuple[Pass, ...]
    spacing: float
    input_stride: int
    checkpointing: bool
    recipe: str


MODELS = {
    "fetal-frame": Model(
        (Pass("locate", 2.0, 16, 6000), Pass("orient", 1.0, 16, 6000), Pass("detect", 1.0, 24, 9500)),
        spacing=1.0,
        input_stride=2,
        checkpointing=False,
        recipe="shipped",
    ),  # fmt: skip
    "r4": Model((Pass("whole", 1.25, 16, 16000),), 1.25, input_stride=1, checkpointing=False, recipe="paper"),
    "gcp": Model((Pass("whole", 1.0, 16, 16000),), 1.0, input_stride=1, checkpointing=True, recipe="paper"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", choices=MODELS, required=True, help="what to train, see above")
    add("--output", metavar="MODEL.safetensors", type=Path, required=True, help="where the trained model goes")
    add("--data", metavar="FOLDER", type=Path, help="your own volumes to train on (default: simulated ones)")
    add(
        "--validation",
        metavar="FOLDER",
        type=Path,
        help="your own volumes to measure the error on (default: 24 simulated ones; none with --data)",
    )
    add("--folder", metavar="FOLDER", type=Path, help="what the training keeps (default runs/MODEL)")
    add("--pass", dest="only", choices=("locate", "orient", "detect"), help="train one of fetal-frame's networks only")
    add(
        "--steps",
        type=_positive,
        metavar="N",
        help="for each network (default 6000 for locate and orient, 9500 for detect, 16000 for r4 and gcp)",
    )
    add("--from", dest="start", metavar="MODEL", help="start from the weights of a bundled model or of a file")
    add(
        "--without",
        metavar="FACTOR=VALUE",
        action="append",
        default=[],
        help="leave out simulated fetuses, such as family=endocavitary, contact=back, build=random or haze=heavy, and "
        "validate on these instead; may be given several times, and then means those that have all",
    )
    add(
        "--presentation",
        choices=("any", "standard"),
        default="any",
        help="how simulated fetuses lie: any way round "
        "(default), or standard, within 70 degrees of head to one side and face to the probe",
    )
    add(
        "--recipe",
        choices=("paper", "shipped", "continued", "compared"),
        help="how to train, see above (default: the model's)",
    )
    add("--method", choices=("land", "rnn", "gan", "pair"), help="go on as a method of the paper's tables, see above")
    add(
        "--checkpointing",
        choices=("on", "off"),
        help="of gradients: a third of the memory at 1.4 times the time (default: on for gcp)",
    )
    add("--width", type=_positive, metavar="W", help="channels of the first level (default 16; detect 24)")
    add(
        "--input-stride",
        type=int,
        choices=(1, 2),
        help="2 halves the resolution inside, 1 is the paper's (default 2 for fetal-frame, 1 for r4 and gcp)",
    )
    add("--seed", type=int, default=1, metavar="N", help="of weights and augmentation (default 1)")
    add(
        "--cases",
        type=int,
        metavar="N",
        help="fetuses to simulate (default 1000; none with --data); the first 100 are the training subjects of Sim-152",
    )
    add("--workers", type=_positive, metavar="N", help="processes that simulate (default: half of the cores)")
    add(
        "--resume",
        choices=("automatic", "never"),
        default="automatic",
        help="automatic (default) goes on with a training in --folder, never refuses to",
    )
    add("--export", action="store_true", help="write the model from what has been trained, and train no further")
    add("--curves", metavar="CURVES.png", type=Path, help="also draw loss and error over the steps")
    add(
        "--precision",
        choices=("float16", "int8"),
        default="float16",
        help="of the weights in the file: float16 (default), or int8 for half the size",
    )
    add(
        "--library",
        metavar="POSES.npz",
        type=Path,
        help="with --data: also write your poses as a library for refinement",
    )
    add("--validate-every", type=_positive, metavar="N", default=500, help="steps between validations (default 500)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto (default) takes a GPU if there is one")


def run(args: argparse.Namespace) -> None:
    check_writable(args.output, ".safetensors")
    _check(args)
    from FetalPoseLib.training.curves import draw_curves
    from FetalPoseLib.training.export import export_model

    model = MODELS[args.model]
    folder = args.folder or Path("runs") / args.model
    if not args.export:
        _train(args, model, folder)
    passes = {p.task: folder / (args.method or p.task) for p in model.passes}
    missing = [name for name, path in passes.items() if not (path / "state.pt").exists()]
    if args.only and missing:
        print(f"'{args.only}' is trained. {args.output} is written once --pass {missing[0]} is, too.")
        return
    before = {f"{p.task}, before": folder / p.task for p in model.passes if args.method}
    metadata = export_model(passes, args.output, precision=args.precision, before=before, last=bool(args.method))
    for name, history in metadata["trained"].items():
        error = history["validation"].get("mean_mm")
        print(f"{name}: {history['steps']} steps" + ("" if error is None else f", {error:.2f} mm on validation"))
    if args.curves:
        draw_curves({**before, **{args.method or name: path for name, path in passes.items()}}, args.curves)
    print(f"wrote {args.output} ({args.output.stat().st_size / 2**20:.1f} MiB), SHA-256 {metadata['sha256']}")


def _check(args) -> None:
    if args.method and args.model == "fetal-frame":
        raise FetalPoseError(f"--method {args.method} is a variant of the paper's models. Choose --model r4 or gcp.")
    if args.only and args.model != "fetal-frame":
        raise FetalPoseError(f"--pass {args.only} is a part of fetal-frame; {args.model} has one network. Drop it.")
    if args.curves:
        check_writable(args.curves, ".png")
    if args.library:
        if not args.data:
            raise FetalPoseError("--library takes the poses from --data. Give that folder, too.")
        check_writable(args.library, ".npz")
    if args.cases is not None and args.cases < (0 if args.data else 1):
        raise FetalPoseError(f"--cases {args.cases} leaves nothing to train on. Give 1 or more, or --data.")


def _train(args, model: Model, folder: Path) -> None:
    import torch

    from FetalPoseLib.network.memory import keep_freed_memory
    from FetalPoseLib.training.background import Simulation, training_subjects

    keep_freed_memory()
    device = _device(args.device)
    passes = [p for p in model.passes if args.only in (None, p.task)]
    _check_resume(args, [folder / (args.method or p.task) for p in passes])
    _make(folder)
    cases = (0 if args.data else 1000) if args.cases is None else args.cases
    workers = args.workers or max(1, _cores() // 2)
    options = {"spacing": model.spacing, "workers": workers, "device": device}
    if args.data:
        own = _convert(args.data, folder / "pool", model)
        if args.library:
            _write_library(args, own)
    validation = _validation(args, folder / "validation", model, options)
    subjects = training_subjects(cases, presentation=args.presentation, without=_factors(args.without))
    with Simulation(folder / "pool", subjects, **options) as simulation:
        _wait(simulation, min(FIRST_CASES, cases))
        if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:  # a core for each simulating process
            torch.set_num_threads(max(1, _cores() - (workers if cases else 0)))
        for p in passes:
            _train_pass(args, model, p, folder, validation, device)


def _train_pass(args, model: Model, which: Pass, folder: Path, validation: list, device: str) -> None:
    import torch

    from FetalPoseLib.network.unet import LandmarkNet
    from FetalPoseLib.training.methods import METHODS, begin_with
    from FetalPoseLib.training.pool import Pool
    from FetalPoseLib.training.start import network_from
    from FetalPoseLib.training.tasks import make_task

    recipe = _recipe(args, model, which, device)
    task = make_task(which.task, which.spacing)
    torch.manual_seed(recipe.seed)
    method, name = METHODS[args.method or "land"], args.method or which.task
    net = network_from(args.start, which.task) if args.start else LandmarkNet(
        out_channels=task.channels, width=args.width or which.width, recurrence=method.recurrence,
        checkpointing=model.checkpointing if args.checkpointing is None else args.checkpointing == "on",
        input_stride=args.input_stride or model.input_stride,
    )  # fmt: skip
    if args.method:
        begin_with(net, folder / which.task / "state.pt")
    trainer = method.trainer(
        net,
        task,
        recipe,
        Pool(folder / "pool"),
        validation,
        folder / name,
        validate_every=args.validate_every,
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


def _recipe(args, model: Model, which: Pass, device: str):
    from dataclasses import replace

    from FetalPoseLib.network.precision import has_bfloat16
    from FetalPoseLib.training.detector import COMPARED, CONTINUED, SHIPPED, Recipe

    recipes = {"paper": Recipe(), "shipped": SHIPPED, "continued": CONTINUED, "compared": COMPARED}
    usual = "compared" if args.method else "continued" if args.start else model.recipe
    recipe, steps = recipes[args.recipe or usual], which.steps
    if args.method:  # the learning rate falls to the end: all are compared at rest
        recipe, steps = replace(recipe, decay=1.0), EPOCH
    bfloat16 = recipe.bfloat16 and has_bfloat16(device)
    return replace(recipe, steps=args.steps or steps, seed=args.seed, bfloat16=bfloat16)


def _validation(args, folder: Path, model: Model, options: dict) -> list:
    """The cases to measure the error on: the user's, or the validation subjects of Sim-152."""
    from FetalPoseLib.training.background import Simulation, validation_subjects
    from FetalPoseLib.training.pool import Pool, load_case

    if args.validation:
        return [load_case(path) for path in _convert(args.validation, folder, model)]
    if args.data:
        print("There is no --validation: the error is not measured, and the last weights are kept.", file=sys.stderr)
        return []
    subjects = validation_subjects(presentation=args.presentation, factors=_factors(args.without))
    with Simulation(folder, subjects, **options) as simulation:
        _wait(simulation, len(subjects))
    pool = Pool(folder)
    pool.refresh()
    return pool.cases


def _convert(source: Path, pool: Path, model: Model) -> list[Path]:
    """The user's volumes as cases in ``pool``, with a bar; says which landmarks are unset."""
    import numpy as np
    from tqdm import tqdm

    from FetalPoseLib.training.folders import convert, unseen
    from FetalPoseLib.training.pool import load_case

    with tqdm(desc=f"reading {source}", unit="volume", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        frame = any(p.task == "detect" for p in model.passes)
        cases = convert(source, pool, spacing=model.spacing, frame=frame, progress=show)
    unset = unseen(np.array([load_case(path).landmarks for path in cases]))
    if unset:
        listed = ", ".join(f"{name} {count}" for name, count in unset.items())
        print(f"{source}: not seen in some of the {len(cases)} volumes: {listed}", file=sys.stderr)
    return cases


def _write_library(args, cases: list[Path]) -> None:
    from FetalPoseLib.files import replacing
    from FetalPoseLib.training.library import library_of
    from FetalPoseLib.training.pool import load_case

    library = library_of([load_case(path).landmarks for path in cases], [path.stem for path in cases], str(args.data))
    with replacing(args.library) as temporary:
        library.save(temporary)
    print(f"wrote {args.library}: {len(library)} of {len(cases)} poses are complete")


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


def _check_resume(args, folders: list[Path]) -> None:
    found = [folder for folder in folders if (folder / "state.pt").exists()]
    if found and args.resume == "never":
        raise FetalPoseError(f"{found[0]} holds a training already. Choose another --folder, or delete it.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another --folder.") from error


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise FetalPoseError("CUDA was asked for, but PyTorch finds no GPU that it can use. Choose auto or cpu.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive whole number")
    return int(text)
