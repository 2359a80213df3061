"""Where the seconds of an estimate go, from the start of a process (cold) and for a further volume (warm)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from FetalPoseLib.benchmark.report import Folder, markdown, origin
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions

WARM_RUNS = 3


def measure(case, output: Path, options: EstimateOptions, *, threads: int | None = None) -> list[dict]:
    """Time a new process on the volume of a `cases.BenchmarkCase`, saved as NRRD; write speed.csv and speed.md.

    ``threads`` of the CPU; None: PyTorch's choice. FetalPoseError if the process fails.
    """
    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.nrrd"
        mrml.write_volume(mrml.add_volume(mrml.new_scene(), case.volume, case.name), path)
        request = {"volume": str(path), "options": asdict(options), "threads": threads}
        command = [sys.executable, "-m", "FetalPoseLib.benchmark.speed"]
        result = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if result.returncode:
        raise FetalPoseError(f"The timed process failed: {result.stderr.strip().splitlines()[-1]}")
    answer = json.loads(result.stdout.splitlines()[-1])
    header = origin(f"speed --model {Path(options.model).stem}") | answer["header"]
    out, table = Folder(output, [header]), rows(answer["runs"])
    size = " x ".join(map(str, case.volume.array.shape[::-1]))
    spacing, load = case.volume.grid.spacing[0], answer["load"]
    note = f"Volume {case.name}, {size} voxels of {spacing:g} mm; the machine's load average was {load:.1f}."
    out.csv("speed.csv", table)
    out.markdown("speed.md", "Seconds of an estimate", note, markdown(table))
    return table


def rows(runs: list[dict[str, float]]) -> list[dict]:
    """One row a stage: seconds of the first run, and the median of the others, which import and open nothing."""
    cold, *warm = runs
    return [
        {
            "stage": stage,
            "cold_s": seconds,
            "warm_s": statistics.median(run[stage] for run in warm) if stage in warm[0] else None,
        }
        for stage, seconds in cold.items()
    ]


def stages(seconds: dict) -> dict[str, float]:
    """The seconds of a `trace` by stage, in one level; those of a pass that the model has not are left out."""
    named = {key: seconds[key] for key in ("locate", "detect", "first_pose") if seconds[key] is not None}
    return named | {f"refinement {i}": value for i, value in enumerate(seconds["refine"])}


def _run_once(estimator, path: Path, iterations: int) -> dict[str, float]:
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.benchmark.observed import trace

    start = time.perf_counter()
    volume = mrml.volume_from_node(mrml.read_volume(mrml.new_scene(), path))
    read = time.perf_counter() - start
    found = trace(estimator, volume, iterations=iterations)
    if found["failure"]:
        raise FetalPoseError(found["failure"])
    return {"read": read, **stages(found["seconds"]), "total": time.perf_counter() - start}


def main() -> None:
    """The process that is timed: reads its request, one line of JSON, from standard input, and prints one."""
    start = time.perf_counter()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    request = json.loads(sys.stdin.readline())
    path, options, threads = Path(request["volume"]), EstimateOptions(**request["options"]), request["threads"]
    import torch

    from FetalPoseLib import scene as mrml
    from FetalPoseLib.benchmark.observed import Observed
    from FetalPoseLib.benchmark.report import model_origin

    mrml.silence_log()
    if threads:
        torch.set_num_threads(threads)
    imported = time.perf_counter() - start
    start = time.perf_counter()
    estimator = Observed.from_options(options)
    opened = time.perf_counter() - start
    cold = {"import": imported, "open model": opened, **_run_once(estimator, path, options.iterations)}
    cold["total"] += imported + opened
    runs = [cold, *(_run_once(estimator, path, options.iterations) for _ in range(WARM_RUNS))]
    header = model_origin(estimator, options.model) | {"threads": torch.get_num_threads()}
    print(json.dumps({"runs": runs, "header": header, "load": load}))


if __name__ == "__main__":
    main()
