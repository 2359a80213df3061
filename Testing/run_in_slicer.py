"""The tests of the module and of the scene in 3D Slicer itself; Slicer ends with pytest's exit status.

    Slicer --testing --no-splash --no-main-window --additional-module-paths FetalPose \
        --python-script Testing/run_in_slicer.py

There `Testing/host` does nothing. Slicer's Python needs pytest, PyTorch, safetensors and scipy.
"""

import sys
import traceback
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FILES = ("test_module*.py", "test_scene*.py")


def main() -> int:
    """Run the tests that are not slow; pytest's exit status."""
    import pytest

    files = [str(path) for pattern in FILES for path in sorted(FOLDER.glob(pattern))]
    # Slicer's console is no file: pytest must not look for the one behind standard output
    return int(pytest.main(["--capture=tee-sys", "-p", "no:cacheprovider", "-v", "-m", "not slow", *files]))


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except BaseException:  # without an end of its own Slicer waits for a person
        traceback.print_exc()
    try:
        import slicer

        slicer.util.exit(status)
    except (ImportError, AttributeError):
        sys.exit(status)
