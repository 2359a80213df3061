import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded; there may be no display
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded; sums in another order round otherwise
ROOT = Path(__file__).resolve().parent.parent


def pytest_runtest_setup():
    """Torch computes on one thread in every test, whatever 3D Slicer or the test before it has set."""
    torch = sys.modules.get("torch")  # a test that needs no torch does not wait for it
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def scene():
    """An empty MRML scene of the test's own, without MRML's log on standard error."""
    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    scene = mrml.new_scene()
    yield scene
    scene.Clear(0)


@pytest.fixture
def observer(scene):
    """An observer of the scene that keeps poses' lengths true."""
    from FetalPoseLib import scene as mrml

    observer = mrml.PoseObserver(scene)
    observer.start()
    yield observer
    observer.stop()


@pytest.fixture
def pose(scene):
    """An estimated pose in the scene, at `scene_poses.POINTS`."""
    import numpy as np
    from scene_poses import POINTS

    from FetalPoseLib import scene as mrml

    node = mrml.create_pose(scene)
    mrml.set_estimate(node, POINTS, np.linspace(0.1, 1, 16), provenance={"Model": "fetal-frame", "Iterations": "6"})
    return node


@pytest.fixture(scope="session")
def slicer_app():
    """The application: 3D Slicer itself with the module in it, or the host where there is none."""
    import host

    host.start()
    import slicer

    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    if not hasattr(slicer.modules, "fetalpose"):
        from host import application

        application.load_module(ROOT / "FetalPose" / "FetalPose.py")
    return slicer.app


@pytest.fixture
def bench(slicer_app, tmp_path):
    """The panel over an empty scene, with a process behind it that knows the answer: see `module_bench.Bench`."""
    from module_bench import Bench

    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def desk(scene, tmp_path):
    """A session over an empty scene, with a process behind it that knows the answer: see `session_desk.Desk`."""
    from session_desk import Desk

    desk = Desk(scene, tmp_path)
    yield desk
    desk.session.close()
