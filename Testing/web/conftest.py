"""What the tests of the page share. Those that need trame are left out where the extra 'web' is not installed."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow" if sys.platform == "linux" else "")
HAS_TRAME = importlib.util.find_spec("trame_slicer") is not None
NEED_TRAME = ("drags", "guard", "page", "department")  # test_web_files.py does not
collect_ignore = [] if HAS_TRAME else [f"test_web_{name}.py" for name in NEED_TRAME]


LIMIT_S = 300  # of a test: what waits inside of it has shorter limits, but a browser can stop answering altogether


def pytest_collection_modifyitems(config, items):
    """No test runs for ever. 'thread' ends the process: a browser that hangs cannot be closed either."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(LIMIT_S, method="thread"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows its pages."""
    report = yield
    pages = getattr(item, "funcargs", {}).get("open_page")
    if report.failed and report.when == "call" and pages is not None:
        report.sections.append(("pages", pages.describe()))
    return report


@pytest.fixture(scope="session")
def shared_desk():
    """A desk with off-screen views of 400 x 400 pixels, made once: four contexts of software rendering take seconds."""
    from web_desk import make_desk

    desk = make_desk()
    yield desk
    desk.close()


@pytest.fixture
def desk(shared_desk):
    """The shared desk with the sample volume and its true pose in the middle, as if nothing had been done before."""
    from web_desk import lay_out

    lay_out(shared_desk)
    return shared_desk
