import pytest


@pytest.fixture
def scene():
    """An empty MRML scene of the test's own, without MRML's log on standard error."""
    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    scene = mrml.new_scene()
    yield scene
    scene.Clear(0)
