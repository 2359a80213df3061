"""How fast the page answers: a server in a process of its own, Chromium without a display, a person's clicks and drags.

The page is measured from within: it notes when the mouse moves and when the table and the views change.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from FetalPoseLib.errors import FetalPoseError

RUNS = 3  # of an estimate; the median counts
MOVES, HERTZ = 60, 10  # of a drag
LANDMARK = "left_knee"
CHROMIUM = "CHROMIUM"  # variable with the browser's path, if it is not the chromium that is found
SIZE = (1366, 768)  # of the page
NOTES = """() => {
  const now = () => performance.now(), notes = { moves: [], table: [], views: {} };
  document.addEventListener("pointermove", () => notes.moves.push(now()), true);
  new MutationObserver(() => notes.table.push(now())).observe(
    document.querySelector("[data-part=lengths]"), { subtree: true, childList: true, characterData: true });
  for (const view of document.querySelectorAll("[data-view]")) {
    const name = view.dataset.view;
    notes.views[name] = [];
    new MutationObserver((all) => all.some((one) => one.target.tagName === "IMG") && notes.views[name].push(now()))
      .observe(view, { subtree: true, attributes: true, attributeFilter: ["src"] });
  }
  window.fetalposeNotes = notes;
}"""


def measure(output: Path) -> list[dict]:
    """Measure the page on the bundled sample; writes web.csv and web.md into a folder, and returns the rows.

    Raises
    ------
    FetalPoseError
        Chromium or the extra is missing, or the measured process failed.
    """
    browser = os.environ.get(CHROMIUM) or shutil.which("chromium")
    missing = [name for name in ("trame_slicer", "playwright") if importlib.util.find_spec(name) is None]
    if missing or browser is None:
        lacks = [*missing, *([] if browser else ["chromium"])]
        raise FetalPoseError(
            f"To measure the page, {', '.join(lacks)} must be installed: 'make web', Debian's chromium."
        )
    from FetalPoseLib.benchmark.report import Folder, make_folder, markdown, origin

    make_folder(output)
    load = os.getloadavg()[0]
    request = json.dumps({"browser": browser, "started": time.time()})
    command = [sys.executable, "-m", "FetalPoseWeb.measure"]
    result = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if result.returncode:
        raise FetalPoseError(f"The measured process failed: {result.stderr.strip().splitlines()[-1]}")
    rows = json.loads(result.stdout.splitlines()[-1])
    folder = Folder(output, [origin("web")])
    folder.csv("web.csv", rows)
    note = (
        f"Sample volume, Chromium without a display, page of {SIZE[0]} x {SIZE[1]}, views rendered without a graphics "
        f"card; the machine's load average was {load:.1f}. A move counts where each of the four views got a frame "
        f"before the next move, {1000 // HERTZ} ms later."
    )
    folder.markdown("web.md", "The page in a browser", note, markdown(rows))
    return rows


class Measurement:
    """A person in a thread of his own, who clicks and drags while the server runs on the main thread."""

    def __init__(self, application, browser: str, started: float):
        self.application, self.browser, self.started = application, browser, started
        self.loop: asyncio.AbstractEventLoop | None = None
        self.rows: list[dict] = []
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin; the server ends when all is measured."""
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._measure()
        except BaseException as error:  # shown by the main thread
            self.error = error
        finally:
            asyncio.run_coroutine_threadsafe(self.application.server.stop(), self._loop)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        assert self.loop is not None, "start was called"
        return self.loop

    def _measure(self) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=self.browser, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(300_000)
            page.goto(self.application.address)
            page.wait_for_selector("[data-do=sample]")
            self._note("start of the process to a page that can be used", time.time() - self.started, "s")
            page.click("[data-do=sample]")
            self._until(page, "[data-part=status]", "Read")
            alone = statistics.median(self._first_poses_alone())
            clicks = [self._click_to_pose(page) for _ in range(RUNS)]
            self._note("first pose of the network's process, warm", alone, "s")
            self._note("click on Estimate Pose to the first lengths on the page, warm", statistics.median(clicks), "s")
            self._drag(page, "Red", "in a slice")
            self._drag(page, "ThreeD", "in 3D")
            server, worker = _resident(os.getpid()), _resident(self.application.desk.session.client.pid)
            self._note("memory of server and network's process", (server + worker) / 1e9, "GB")
            browser.close()

    def _note(self, what: str, value: float, unit: str) -> None:
        self.rows.append({"what": what, "value": f"{value:.3g}", "unit": unit})

    def _ask(self, function: Callable[[], Any]) -> Any:
        """What a function says on the server's thread."""

        async def answer():
            return function()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(300)

    def _until(self, page, selector: str, start: str) -> None:
        page.wait_for_function(
            "([selector, start]) => document.querySelector(selector)?.innerText.startsWith(start)",
            arg=[selector, start],
        )

    def _first_poses_alone(self) -> list[float]:
        """Seconds from the request to the first points, without a page: what the command line waits for."""
        from FetalPoseLib import scene as mrml
        from FetalPoseLib.refinement.options import EstimateOptions
        from FetalPoseLib.resources import resource_path
        from FetalPoseLib.worker.client import WorkerClient
        from FetalPoseLib.worker.protocol import ProgressEvent

        volume = mrml.volume_from_node(mrml.read_volume(mrml.new_scene(), resource_path("sample", "sample.nrrd")))
        seconds = []
        with WorkerClient() as client:
            for run in range(RUNS + 1):
                start, first = time.perf_counter(), None
                client.estimate(volume, EstimateOptions())
                while client.running:
                    for event in client.poll():
                        if first is None and isinstance(event, ProgressEvent) and event.progress.points is not None:
                            first = time.perf_counter() - start
                    time.sleep(0.005)
                if run and first is not None:  # the first one opens the model
                    seconds.append(first)
        return seconds

    def _click_to_pose(self, page) -> float:
        page.click("[data-do=sample]")  # a new volume takes the pose away
        page.wait_for_function("() => !document.querySelector('[data-part=lengths] tbody .fp-num').innerText")
        page.wait_for_selector("[data-do=estimate]:enabled")
        start = time.perf_counter()
        page.click("[data-do=estimate]")
        page.wait_for_function("() => document.querySelector('[data-part=lengths] tbody .fp-num').innerText")
        seconds = time.perf_counter() - start
        page.wait_for_selector("[data-do=cancel]:disabled")
        return seconds

    def _drag(self, page, view: str, where: str) -> None:
        box = page.query_selector(f"[data-view={view}]").bounding_box()
        self._ask(lambda: self.application.actions.select(LANDMARK))
        page.wait_for_timeout(1500)
        x, y = self._ask(lambda: self._place(view))
        x, y = box["x"] + x, box["y"] + y
        page.mouse.move(x, y)
        page.wait_for_timeout(500)
        page.mouse.down()
        page.evaluate(NOTES)
        for i in range(MOVES):
            began = time.perf_counter()
            page.mouse.move(x + 1 + i % 20, y - i % 7)
            page.wait_for_timeout(max(0.0, 1000 * (1 / HERTZ - (time.perf_counter() - began))))
        page.wait_for_timeout(500)
        notes = page.evaluate("() => window.fetalposeNotes")
        page.mouse.up()
        page.click("[data-do=undo]")
        moves, ends = notes["moves"], [*notes["moves"][1:], notes["moves"][-1] + 1000 / HERTZ]
        answered = [
            all(any(move < at <= end for at in times) for times in notes["views"].values())
            for move, end in zip(moves, ends, strict=True)
        ]
        delays = [min((at - move for at in notes["table"] if at > move), default=float("inf")) for move in moves]
        self._note(f"drag {where}: moves with a frame in all four views", 100 * statistics.mean(answered), "%")
        self._note(f"drag {where}: move to a true table, median", statistics.median(delays), "ms")
        self._note(f"drag {where}: move to a true table, 95 % of moves", sorted(delays)[int(0.95 * len(delays))], "ms")

    def _place(self, view: str) -> tuple[float, float]:
        """Pixels of the landmark from the left and from the top of a view."""
        import numpy as np
        import slicer.util

        from FetalPoseLib import scene as mrml
        from FetalPoseLib.body.skeleton import load_skeleton

        desk = self.application.desk
        point = mrml.points_of(desk.pose)[load_skeleton().index(LANDMARK)]
        shown = desk.views[view]
        if shown is desk.threed:
            shown.renderer().SetWorldPoint(*point, 1.0)
            shown.renderer().WorldToDisplay()
            x, y = shown.renderer().GetDisplayPoint()[:2]
        else:
            to_ras = slicer.util.arrayFromVTKMatrix(shown.get_view_node().GetXYToRAS())
            x, y = (np.linalg.inv(to_ras) @ [*point, 1.0])[:2]
        return float(x), shown.render_window().GetSize()[1] - float(y)


def _resident(pid: int | None) -> float:
    """Bytes of memory that a process holds; NaN where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), float("nan"))


def main() -> None:
    """The process that is measured: its request is one line of JSON on standard input, and so is its answer."""
    request = json.loads(sys.stdin.readline())
    from FetalPoseWeb.application import Application
    from FetalPoseWeb.options import WebOptions

    asyncio.set_event_loop(asyncio.new_event_loop())
    with tempfile.TemporaryDirectory(prefix="fetalpose-") as folder:
        application = Application(WebOptions(browser=False, folder=Path(folder), forget=True))
        measurement = Measurement(application, request["browser"], request["started"])
        try:
            application.run(measurement.start)
        finally:
            application.close()
        if measurement.error is not None:
            raise measurement.error
    print(json.dumps(measurement.rows))


if __name__ == "__main__":
    main()
