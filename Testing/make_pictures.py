"""The pictures of the README: the panel, and the four views with and without alignment, of the sample volume.

    python Testing/make_pictures.py docs/pictures

With a bundled model the pose is the model's; before one is trained it is the sample's truth.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parent.parent


def main(folder: Path) -> None:
    import host

    host.start()
    import slicer
    from host import application, views

    from FetalPoseLib import scene

    scene.silence_log()
    application.load_module(ROOT / "FetalPose" / "FetalPose.py")
    from module_bench import Bench, sample_volume

    bench = Bench(Path(tempfile.mkdtemp()))
    volume = sample_volume()
    bench.ui.inputSelector.setCurrentNode(volume)
    if is_trained():
        from FetalPoseLib.worker.client import WorkerClient
        from FetalPoseModuleLib.logic import pythonExecutable, workerEnvironment

        bench.panel.logic.client = WorkerClient(pythonExecutable(), workerEnvironment())
    for name in ("Red", "Green", "Yellow"):
        slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}").SetDimensions(views.SIZE, views.SIZE, 1)
    bench.ui.estimateButton.click()
    bench.wait(lambda: not bench.session.running, 600)
    bench.pause(1.0)
    bench.frame.show()
    bench.frame.resize(440, 1115)
    bench.pause(0.5)
    bench.frame.grab().save(str(folder / "panel.png"))
    bench.ui.showLengthsCheckBox.checked = False
    views.save(views.four_views(volume), folder / "planes.png", bits=5)
    bench.close()


def is_trained() -> bool:
    import json

    manifest = json.loads((ROOT / "Resources" / "models" / "manifest.json").read_text(encoding="utf-8"))
    return bool(manifest["fetal-frame"]["file"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
