"""How fast the module answers, measured through its panel on the sample volume, with the bundled model and process.

    OMP_NUM_THREADS=1 python Testing/measure_module.py benchmarks/module.csv

Needs no desktop: it clicks the buttons of the panel in `Testing/host`. Times are seconds, of this computer.
"""

import csv
import os
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parent.parent
STEPS = 200  # of the drag


def main(path: Path) -> None:
    import host

    host.start()
    from host import application

    from FetalPoseLib import scene

    scene.silence_log()
    application.load_module(ROOT / "FetalPose" / "FetalPose.py")
    from module_bench import Bench, sample_volume

    from FetalPoseLib.worker.client import WorkerClient
    from FetalPoseModuleLib.logic import pythonExecutable, workerEnvironment

    bench = Bench(Path(tempfile.mkdtemp()))
    bench.ui.inputSelector.setCurrentNode(sample_volume())
    bench.panel.logic.client = client = WorkerClient(pythonExecutable(), workerEnvironment())
    times = {
        "first pose, cold process": first_pose(bench),
        "Cancel, process computing": cancel(bench),
    }
    bench.panel.logic.warmUp()
    bench.wait(lambda: client.warm and not client.running, 120)
    times["first pose, warm process"] = first_pose(bench)
    bench.wait(lambda: not bench.session.running, 600)
    times["last pose after the first, with refinement"] = time.perf_counter() - bench.first_seen
    times |= drag(bench)
    bench.close()
    write(path, times)


def first_pose(bench) -> float:
    """From the click to a pose that was not there before, on screen."""
    seen = []
    bench.session.pose_shown.connect(seen.append)  # after the panel, which has drawn it by then
    start = time.perf_counter()
    bench.ui.estimateButton.click()
    bench.wait(lambda: seen, 600)
    bench.first_seen = time.perf_counter()
    return bench.first_seen - start


def cancel(bench) -> float:
    """From the click, while the network refines, to a panel that is ready for the next run."""
    bench.wait(lambda: bench.status.startswith("Refinement"), 120)
    start = time.perf_counter()
    bench.ui.cancelButton.click()
    bench.wait(lambda: bench.ui.estimateButton.enabled)
    return time.perf_counter() - start


def drag(bench) -> dict[str, float]:
    """A point's move, until lengths, labels, skeleton and tables are true again: the mean and the slowest step."""
    pose, steps = bench.pose, []
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    for step in range(STEPS):
        start = time.perf_counter()
        pose.SetNthControlPointPositionWorld(14, float(step), 2.0, 3.0)
        steps.append(time.perf_counter() - start)
    pose.InvokeEvent(pose.PointEndInteractionEvent)
    bench.assert_lengths_true()
    return {"update of the lengths, mean": sum(steps) / STEPS, "update of the lengths, slowest": max(steps)}


def write(path: Path, times: dict[str, float]) -> None:
    from FetalPoseLib import __version__
    from FetalPoseLib.files import replacing

    threads = os.environ.get("OMP_NUM_THREADS", "all")
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        file.write(
            f"# Written by 'python Testing/measure_module.py', FetalPose {__version__}, {date.today().isoformat()}, "
            f"{platform.machine()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}, sample volume\n"
        )
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["what", "seconds"])
        rows.writerows([what, f"{seconds:.3g}"] for what, seconds in times.items())
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
