"""What a front end does with a pose, without Qt: estimate, correct, undo, and the rows, buttons and status of a panel.

`PoseSession` takes a scene and a `WorkerClient`. It has no timer and opens no dialog: the front end calls `poll`,
listens to signals, and answers a question when it can. Tables and buttons are plain frozen dataclasses, so that 3D
Slicer's widgets and a page in a browser show the same. `estimate_file`, `track_file` and
`evaluate_files` are for programs without a person: from a volume's file to files of its pose, from a sequence's file to
files of its poses, and from files of poses and truths to their errors.

May import `scene`, `worker`, `estimator`, `tracking`, `refinement`, `network`, `reading`, `evaluation`, `measurement`,
`volume`, `body`, `files`, `resources` and `errors`, and the packages slicer and vtk. It never imports Qt, CTK, or what
of `slicer` exists only in the application (``slicer.app``, ``slicer.mrmlScene``, ``slicer.i18n``). A new file here is
one more thing that every front end does with a pose, or one more part of what every panel shows.
"""

from FetalPoseLib.session.events import Failure, Finished, PoseShown, Question
from FetalPoseLib.session.panel import Buttons, LandmarkRow, LengthRow, Status
from FetalPoseLib.session.session import PoseSession
from FetalPoseLib.session.settings import Settings
from FetalPoseLib.session.signal import Signal
from FetalPoseLib.session.sizes import MeasureRow
from FetalPoseLib.session.user_library import OwnLibrary, OwnPose
from FetalPoseLib.session.views import CameraPlace, PlaneRow, PlaneViews

__all__ = [
    "Buttons",
    "CameraPlace",
    "Failure",
    "Finished",
    "LandmarkRow",
    "LengthRow",
    "MeasureRow",
    "OwnLibrary",
    "OwnPose",
    "PlaneRow",
    "PlaneViews",
    "PoseSession",
    "PoseShown",
    "Question",
    "Settings",
    "Signal",
    "Status",
]
