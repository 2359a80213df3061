"""A server's process and a page in Chromium, as the tests use them."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

SERVER = Path(__file__).with_name("web_server.py")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
REACH_PX = 5  # from the mouse to the landmark that it drags
WAIT_S = 60  # of every wait, on a busy computer; nothing here measures time
START_S = 120  # of a server: it imports much, and makes four views


class Server:
    """`web_server.py` in a process of its own."""

    def __init__(self, folder, plan: dict | None = None, **options):
        request = {"folder": str(folder), "plan": plan, "options": options}
        self.log = open(f"{folder}.log", "w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), json.dumps(request)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.address = self._line(START_S, "the server's address").strip()
        except BaseException:
            self.close(kill=True)
            raise

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")  # the process has ended

    def _line(self, limit_s: float, what: str) -> str:
        """The next line that the process says; AssertionError if none comes."""
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            raise AssertionError(f"waited {limit_s} s for {what} in vain; the server's log: {self.errors()}") from None
        assert line, f"the server ended before {what} came; its log: {self.errors()}"
        return line

    def ask(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._line(WAIT_S, f"the answer to '{name}'"))
        assert "error" not in answer, f"the question '{name}' failed in the server: {answer['error']}"
        return answer["answer"]

    def errors(self) -> str:
        return Path(self.log.name).read_text()

    def close(self, kill: bool = False) -> int:
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            code = self.process.wait(WAIT_S)
        finally:
            self.process.kill()  # does nothing to one that has ended
            self.process.stdin.close()
            self._reader.join(WAIT_S)
            self.process.stdout.close()
            self.log.close()
        return code


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page, in the words of a person who uses it."""

    def __init__(self, browser, server, size=(1280, 800)):
        self.server, self.is_open = server, True
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * WAIT_S)
        self.failures = []
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.asked = []
        self.yes = True  # what the person answers
        self.page.on("dialog", self._answer)
        self.page.goto(server.address)
        self.page.wait_for_selector("[data-do=sample]")

    def _answer(self, dialog):
        self.asked.append(dialog.message)
        (dialog.accept if self.yes else dialog.dismiss)()

    def click(self, name):
        self.page.click(f"[data-do={name}]:enabled")

    def describe(self) -> str:
        """What a person sees, and what the server's log says: for the message of a test that failed."""
        try:
            text = self.page.inner_text("body", timeout=5000) if self.is_open else "is closed"
        except Exception as error:
            text = f"does not answer: {error}"
        return f"The page: {text}\nIts errors: {self.failures}\nThe server's log: {self.server.errors()}"

    @property
    def status(self) -> str:
        return self.page.inner_text("[data-part=status]")

    def wait_status(self, start):
        self.wait("(start) => document.querySelector('[data-part=status]').innerText.startsWith(start)", start)

    def wait(self, script, argument=None):
        self.page.wait_for_function(script, arg=argument)

    def open_sample(self):
        self.click("sample")
        self.wait_status("Read Simulated")

    def estimate_sample(self):
        self.open_sample()
        self.click("estimate")
        self.wait_status("Done")

    def lengths(self) -> dict[str, str]:
        rows = self.page.query_selector_all("[data-part=lengths] tbody tr")
        return {row.get_attribute("data-row"): row.query_selector(".fp-num").inner_text() for row in rows}

    def show(self, landmark):
        """Move the slices to a landmark, by a click on its row."""
        self.page.click("[data-do=tab-landmarks]")
        self.page.click(f"[data-part=landmarks] [data-row={landmark}]")
        self.wait("name => document.querySelector(`[data-row=${name}]`).classList.contains('fp-sel')", landmark)
        self.page.click("[data-do=tab-lengths]")

    def at(self, view, landmark):
        box = self.page.query_selector(f"[data-view={view}]").bounding_box()
        x, y = self.server.ask("where", view, landmark)
        return box["x"] + x, box["y"] + y

    def drag(self, view, landmark, by, *, release=True):
        x, y = self.at(view, landmark)
        start = self.server.ask("where", view, landmark)
        self.page.mouse.move(x, y)
        self.settle()
        self.page.mouse.down()
        for part in (0.25, 0.5, 0.75, 1.0):
            self.page.mouse.move(x + part * by[0], y + part * by[1])
            self.settle()
        self.until(lambda: np.abs(np.subtract(self.server.ask("where", view, landmark), start) - by).max() < REACH_PX)
        if release:
            self.page.mouse.up()

    def until(self, condition):
        """Wait for something on the server."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s in vain; the status is '{self.status}'"
            self.settle()

    def settle(self):
        """Wait until the server has handled what the page has sent: moves within 40 ms of each other are one."""
        self.page.wait_for_timeout(60)

    def download(self, name, folder) -> Path:
        with self.page.expect_download() as download:
            self.click(name)
        path = Path(folder) / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def choose(self, do, files):
        """Give files to the dialog that a button opens."""
        with self.page.expect_file_chooser() as chooser:
            self.click(do)
        chooser.value.set_files(files)

    def close(self):
        if self.is_open:
            self.is_open = False
            self.context.close()
            assert self.failures == []


class Pages:
    """Opens pages. Those that a test leaves open are closed, so that the next test finds the session free."""

    def __init__(self, browser):
        self.browser, self.pages, self._opened = browser, [], ExitStack()

    def __call__(self, server) -> Page:
        page = Page(self.browser, server)
        self.pages.append(page)
        self._opened.callback(page.close)
        return page

    def describe(self) -> str:
        return "\n".join(page.describe() for page in self.pages)

    def close(self) -> None:
        self._opened.close()
