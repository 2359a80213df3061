"""Many volumes: how many an hour on one and two workers, what a cohort costs beside a loop, and whether memory grows.

All rates are of a steady state: from the end of the first volume to that of the last, so that no process is starting.
Each volume is the bundled sample with another header, so that no two are the same. A loop is one process that opens
`Estimator` once, reads each volume and estimates its pose, and writes nothing; two loops are two such processes at the
same time, which is what the machine itself can do. Every network computes on one thread. The memory is that of all
processes of a run with one worker, over small volumes and with a small untrained network in place of the bundled one,
so that a thousand take minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from FetalPoseLib.benchmark.report import Folder, markdown, origin
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume

VOLUMES = 24  # of each rate, if no number is asked for
MEMORY_VOLUMES = 1000
MEMORY_AT = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # of these, where the memory is looked at
STRIDE = 4  # of the small volumes' voxels in the sample's
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(
    output: Path, options: EstimateOptions, *, volumes: int = VOLUMES, memory_volumes: int = MEMORY_VOLUMES
) -> list[dict]:
    """Measure, and write cohort.csv, cohort_memory.csv and cohort.md; the table of the rates.

    Raises
    ------
    FetalPoseError
        The extra is missing, or a volume fails.
    """
    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    with tempfile.TemporaryDirectory(prefix="fetalpose-cohort-") as temporary:
        folder = Path(temporary)
        sources = _copies(resource_path("sample", "sample.nrrd"), folder / "in", volumes)
        load = os.getloadavg()[0]
        runs = {
            "loop": _loops(sources, options, 1),
            "two loops": _loops(sources, options, 2),
            "cohort, 1 worker": _cohort(folder / "in", folder / "one", options, 1),
            "cohort, 2 workers": _cohort(folder / "in", folder / "two", options, 2),
        }
        small = _copies(_small_sample(folder), folder / "small", memory_volumes)
        stand_in = replace(options, model=str(_stand_in(folder)), iterations=0)
        memory = _cohort(small[0].parent, folder / "memory", stand_in, 1).memory_mb
    table, growth = _rates(runs), _growth(memory)
    out = Folder(output, [origin(f"cohort --model {Path(options.model).stem}")])
    out.csv("cohort.csv", table)
    out.csv("cohort_memory.csv", growth)
    about = " ".join(str(__doc__).split("\n\n")[1].split())
    note = f"{volumes} volumes of each rate; the machine's load average before was {load:.1f}."
    heading = f"## Memory of all processes over {memory_volumes} volumes"
    out.markdown("cohort.md", "Many volumes", about, note, markdown(table), _verdict(runs), heading, markdown(growth))
    return table


@dataclass
class Run:
    """What was measured of one run."""

    volumes: int  #: between the first end and the last
    seconds: float  #: between these
    cpu_seconds: float  #: of all processes, between these
    memory_mb: list[float] = field(default_factory=list)  #: of all processes, after each volume

    @property
    def per_hour(self) -> float:
        """Volumes an hour."""
        return 3600 * self.volumes / self.seconds


def _rates(runs: dict[str, Run]) -> list[dict]:
    return [
        {
            "run": name,
            "volumes_an_hour": round(run.per_hour),
            "seconds_a_volume": run.seconds / run.volumes,
            "cpu_seconds_a_volume": run.cpu_seconds / run.volumes,
        }
        for name, run in runs.items()
    ]


def _verdict(runs: dict[str, Run]) -> str:
    loop, loops, one, two = runs.values()
    efficiency, possible = two.per_hour / one.per_hour / 2, loops.per_hour / loop.per_hour / 2
    wall = (one.seconds / one.volumes) / (loop.seconds / loop.volumes) - 1
    cpu = (one.cpu_seconds / one.volumes) / (loop.cpu_seconds / loop.volumes) - 1
    return (
        f"Efficiency of two workers: {efficiency:.2f} of twice one worker; two loops reach {possible:.2f} of twice one "
        f"loop on this machine. Beside the loop a cohort takes {100 * wall:+.1f} % of the time and {100 * cpu:+.1f} % "
        "of the processor's time for each volume."
    )


def _growth(memory_mb: list[float]) -> list[dict]:
    counts = [max(1, round(share * len(memory_mb))) for share in MEMORY_AT]
    return [{"volumes": count, "memory_mb": memory_mb[count - 1]} for count in counts]


def _cohort(inputs: Path, study: Path, options: EstimateOptions, workers: int) -> Run:
    import psutil

    from FetalPoseLib.cohort.options import ClusterOptions, CohortOptions
    from FetalPoseLib.cohort.run import Listener, run_cohort

    own, ends, cpus, memories = psutil.Process(), [], [], []

    class Clock(Listener):
        def ended(self, outcome) -> None:
            if not outcome.done:
                raise FetalPoseError(f"A volume failed: {outcome.reason}")
            ends.append(time.monotonic())
            cpu = memory = 0.0
            for process in (own, *own.children(recursive=True)):
                try:
                    spent = process.cpu_times()
                    cpu, memory = cpu + spent.user + spent.system, memory + process.memory_info().rss / 1e6
                except psutil.Error:  # it has just ended
                    continue
            cpus.append(cpu)
            memories.append(memory)

    cluster = ClusterOptions(workers=workers, threads=1, dashboard="127.0.0.1:0")
    run_cohort(CohortOptions(inputs=[str(inputs)], output=study, estimate=options, cluster=cluster), Clock())
    return Run(len(ends) - 1, ends[-1] - ends[0], cpus[-1] - cpus[0], memories)


def _loops(sources: list[Path], options: EstimateOptions, count: int) -> Run:
    """So many processes at the same time, each over all volumes."""
    request = json.dumps({"sources": [str(path) for path in sources], "options": asdict(options)})
    command = [sys.executable, "-m", "FetalPoseLib.benchmark.cohort"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": {**os.environ, **ONE_THREAD}}
    processes = [subprocess.Popen(command, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.write(request)
        process.stdin.close()
    answers = [process.stdout.read() for process in processes]
    if any(process.wait() for process in processes):
        raise FetalPoseError("A loop of estimates failed; its error stands above.")
    runs = [json.loads(answer.splitlines()[-1]) for answer in answers]
    start = min(run["ends"][0] for run in runs)
    end = max(run["ends"][-1] for run in runs)
    volumes = sum(len(run["ends"]) - 1 for run in runs)
    return Run(volumes, end - start, sum(run["cpu"] for run in runs))


def _loop() -> None:
    """In a process of its own: estimate each volume, and tell when each was done."""
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.estimator import Estimator

    mrml.silence_log()
    request = json.load(sys.stdin)
    values = request["options"] | {"libraries": tuple(request["options"]["libraries"])}
    options = EstimateOptions(**values)
    estimator, ends, cpu = Estimator.from_options(options), [], 0.0
    for source in request["sources"]:
        scene = mrml.new_scene()
        volume = mrml.volume_from_node(mrml.read_volume(scene, source))
        estimator.estimate(volume, iterations=options.iterations)
        scene.Clear(0)
        ends.append(time.monotonic())
        cpu = cpu or time.process_time()
    print(json.dumps({"ends": ends, "cpu": time.process_time() - cpu}))


def _copies(volume: Path, folder: Path, count: int) -> list[Path]:
    """So many copies of a NRRD file, each with another line in its header."""
    folder.mkdir()
    head, _, voxels = volume.read_bytes().partition(b"\n\n")
    paths = [folder / f"{number:05d}.nrrd" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(head + f"\nnumber:={number}\n\n".encode() + voxels)
    return paths


def _small_sample(folder: Path) -> Path:
    from FetalPoseLib import scene as mrml

    scene = mrml.new_scene()
    sample = mrml.volume_from_node(mrml.read_volume(scene, resource_path("sample", "sample.nrrd")))
    matrix = sample.ijk_to_ras @ np.diag([STRIDE, STRIDE, STRIDE, 1])
    small = Volume(sample.array[::STRIDE, ::STRIDE, ::STRIDE].copy(), matrix)
    mrml.write_volume(mrml.add_volume(scene, small), folder / "small.nrrd")
    return folder / "small.nrrd"


def _stand_in(folder: Path) -> Path:
    """A small untrained model that sees all landmarks somewhere."""
    import torch

    from FetalPoseLib.network.unet import LandmarkNet
    from FetalPoseLib.network.weights import save_model

    torch.manual_seed(1)
    net = LandmarkNet(1, 16, 2, 2, 2)
    with torch.no_grad():
        bias = next(module for module in net.modules() if type(module).__name__ == "Head").bias
        assert isinstance(bias, torch.Tensor)
        bias.fill_(0.9)
    state = {f"whole.{key}": value for key, value in net.state_dict().items()}
    task = {"task": "whole", "spacing_mm": 2.5, "sigma": 1.5}
    save_model(folder / "stand-in.safetensors", state, {"networks": {"whole": {"network": net.config(), "task": task}}})
    return folder / "stand-in.safetensors"


if __name__ == "__main__":
    _loop()
