"""The session of the application's scene: a timer polls it, and the parameter node of the scene is wrapped."""

import os
import sys

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from FetalPoseLib.session import PoseSession, Status
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.process import slicer_python
from FetalPoseModuleLib.parameters import FetalPoseParameters, isTrue, parameterNodeClass
from FetalPoseModuleLib.sceneparameters import resetUnusable

POLL_MS = 40
IDLE_POLL_MS = 400  # nobody waits for an answer, but a process that opens a model still has something to say


class FetalPoseLogic(ScriptedLoadableModuleLogic):
    """Holds the session, and polls it on the main thread once something was asked of the network's process.

    Parameters
    ----------
    client : WorkerClient, optional
        The network's process; that of this Python where it is left out.

    Attributes
    ----------
    session : PoseSession
        All that can be done with a pose.

    Example
    -------
    >>> logic = FetalPoseLogic()
    >>> logic.session.finished.connect(lambda result: print(logic.session.lengths(result.pose)["left_thigh"]))
    >>> logic.estimate(volumeNode)  # returns at once
    """

    def __init__(self, client: WorkerClient | None = None):
        super().__init__()
        client = client or WorkerClient(pythonExecutable(), workerEnvironment())
        self.session = PoseSession(slicer.mrmlScene, client, translate=_, instance_file=dicomFile)
        self._parameters: FetalPoseParameters | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)

    @property
    def client(self) -> WorkerClient:
        """The network's process, which belongs to the session."""
        return self.session.client

    @client.setter
    def client(self, client: WorkerClient) -> None:
        self.session.client = client

    def close(self) -> None:
        """Release the timer, the process and the scene."""
        self._timer.stop()
        self._timer.timeout.disconnect(self.poll)
        self.session.close()
        self._parameters = None

    def getParameterNode(self) -> FetalPoseParameters:
        """What is saved with the scene; the session's status tells where the default took the place of a value.

        The same object as long as it is true: each has ten observers. It keeps the nodes that it refers to, and does
        not see that a scene brought them after the parameter node.
        """
        node, known = super().getParameterNode(), self._parameters
        changed = resetUnusable(node)
        if known is None or known.parameterNode is not node or not isTrue(known):
            self._parameters = parameterNodeClass()(node)
        if changed:
            self.session.status_changed.emit(Status(changed, is_warning=True))
        return self._parameters

    def estimate(self, volume, pose=None, *, refine: bool = False) -> None:
        """As `PoseSession.estimate`; the answer comes by the session's signals."""
        self.session.estimate(volume, pose, refine=refine)
        self._pollOften()

    def warmUp(self) -> None:
        """Start the process and open the model, so that the first estimate need not wait."""
        self.session.warm_up()
        self._pollOften()

    def askForDevices(self) -> None:
        """Ask which devices there are; `devices_known` of the session tells."""
        self.session.ask_for_devices()
        self._pollOften()

    def poll(self) -> None:
        """Handle what the process has said since the last call."""
        self.session.poll()
        self._timer.setInterval(POLL_MS if self.session.awaits_events else IDLE_POLL_MS)

    def _pollOften(self) -> None:
        self._timer.setInterval(POLL_MS)
        self._timer.start()


def dicomFile(uid: str) -> str:
    """The file of a DICOM instance that the application has in its database, "" where it has none."""
    database = getattr(slicer, "dicomDatabase", None)  # made when the module DICOM is first needed
    return database.fileForInstance(uid) if database is not None and database.isOpen else ""


def pythonExecutable() -> str:
    """The Python that has Slicer's packages: PythonSlicer within Slicer."""
    return slicer_python(getattr(slicer.app, "slicerHome", "") or "")


def workerEnvironment() -> dict[str, str]:
    """So that the process finds FetalPoseLib and the packages that this Python has."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
