"""What the tests of the page share. Those that need trame are left out where the extra 'web' is not installed."""

import importlib.util
import os
import sys

import pytest

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow" if sys.platform == "linux" else "")
HAS_TRAME = importlib.util.find_spec("trame_slicer") is not None
NEED_TRAME = ("drags", "guard", "page", "department")  # test_web_files.py does not
collect_ignore = [] if HAS_TRAME else [f"test_web_{name}.py" for name in NEED_TRAME]


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
