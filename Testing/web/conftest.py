"""What the tests of the page share. Those that need trame are left out where the extra 'web' is not installed."""

import importlib.util
import os
import sys

import pytest

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow" if sys.platform == "linux" else "")
HAS_TRAME = importlib.util.find_spec("trame_slicer") is not None
collect_ignore_glob = [] if HAS_TRAME else ["test_web_*.py"]


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
