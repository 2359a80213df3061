"""What the panel needs of the parts that it is given. A test hands it its own."""

from collections.abc import Callable
from typing import Protocol

from FetalPoseLib.session import OwnLibrary, PoseSession
from FetalPoseModuleLib.parameters import FetalPoseParameters


class LogicProtocol(Protocol):
    """Holds the session of the scene and polls it. The panel closes it."""

    session: PoseSession  #: tells by its signals what happens, and holds what every panel shows

    def getParameterNode(self) -> FetalPoseParameters:
        """What is saved with the scene; another one if its node in the scene is another one."""

    def estimate(self, volume, pose=None, *, refine: bool = False) -> None:
        """Start a run, and return at once. FetalPoseError if the volume, or the pose to refine, does not do."""

    def warmUp(self) -> None:
        """Start the network's process ahead of the first run."""

    def askForDevices(self) -> None:
        """Let `session.devices_known` tell which devices there are."""

    def close(self) -> None:
        """End the process, and let go of the scene."""


class InstallerProtocol(Protocol):
    """Looks for the packages that the network needs, and installs them."""

    def missing(self) -> list[str]:
        """The packages to install, none if all are there. Asked whenever the module is entered: takes no time."""

    def question(self, missing: list[str]) -> str:
        """What the person is asked before anything is installed, to be answered with yes or no."""

    def install(self, missing: list[str], say: Callable[[str], object]) -> None:
        """Install them, and `say` once per package what is being done. FetalPoseError with the way out if it fails."""


class DialogsProtocol(Protocol):
    """Opens windows, and waits for the person. "" says that nothing was chosen."""

    def confirm(self, question: str) -> bool:
        """Whether the person says yes."""

    def openFile(self, title: str, types: str) -> str:
        """The path of a file to read; `types` as in "Pose (*.mrk.json)"."""

    def saveFile(self, title: str, name: str, types: str) -> str:
        """The path of a file to write; `name` is proposed."""

    def folder(self, title: str) -> str:
        """The path of a folder."""

    def library(self, library: Callable[[], OwnLibrary], remove: Callable[[str], object]) -> None:
        """List the person's own poses, `remove` by name those that are chosen, and return once the window is closed."""


class RenderingProtocol(Protocol):
    """Shows a volume in the 3D views."""

    def show(self, volume, visible: bool) -> None:
        """Show the volume, a vtkMRMLScalarVolumeNode or None, or hide what was shown by an earlier call.

        Called at every change of the parameters: does nothing where nothing is to change.
        """
