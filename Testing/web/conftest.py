"""What the tests of the page share. Those that need trame are left out where the extra 'web' is not installed."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow" if sys.platform == "linux" else "")
HAS_TRAME = importlib.util.find_spec("trame_slicer") is not None
HERE = Path(__file__).parent
collect_ignore = [] if HAS_TRAME else ["test_web_drags.py", "test_web_guard.py", "test_web_page.py", "test_web_front.py"]


@pytest.fixture
def desk():
    """A desk with off-screen views of 400 x 400 pixels, the sample volume, and its true pose in the middle."""
    from web_desk import make_desk

    desk = make_desk()
    yield desk
    desk.close()
