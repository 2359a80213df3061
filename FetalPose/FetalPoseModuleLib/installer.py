"""What the network needs and Slicer lacks: PyTorch, through the PyTorch extension, and a few packages, by pip."""

import contextlib
import importlib.util
import sys
from importlib import metadata
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from FetalPoseLib.errors import FetalPoseError
from FetalPoseModuleLib.pipcauses import Heard, advice

TORCH, TORCHVISION = ">=2.2", ">=0.17"  # 2.2.2 and 0.17.2 are the last for macOS on Intel processors
LOADED = ("numpy", "torch")  # of what is replaced, Slicer's own process keeps the former version until it is restarted


class Installer:
    """Looks without importing, asks before it changes anything, and is not needed a second time.

    Parameters
    ----------
    environment : dict, optional
        What the markers of requirements.txt are compared with, such as ``{"sys_platform": "darwin"}``; that of this
        Python where it is left out.
    """

    def __init__(self, environment: dict[str, str] | None = None):
        self._environment = environment

    def missing(self) -> list[str]:
        """The packages that are not there, or have another version than the network's code needs."""
        return [need.name for need in self._needs() if not _isThere(need.name) or _misfit(need)]

    def question(self, missing: list[str]) -> str:
        text = _(
            "FetalPose runs a neural network on this computer. It needs the Python packages {packages}, which this "
            "installation of 3D Slicer does not have yet. They will be downloaded (up to 3 GB with support for an "
            "NVIDIA graphics card) and installed once; this takes some minutes. No image leaves this computer."
        ).format(packages=", ".join(missing))
        for need in self._needs():
            if need.name in missing and _misfit(need):
                text += "\n\n" + _(
                    "{name} {version} is installed, perhaps by another extension, and will be replaced: FetalPose "
                    "needs {wanted}. An extension that needs the version of now may no longer work."
                ).format(name=need.name, version=_version(need.name), wanted=need.specifier)
        return text + "\n\n" + _("Install them now?")

    def install(self, missing: list[str], say=lambda text: None) -> None:
        """Install; FetalPoseError by the cause if that fails, or if Slicer has to be restarted to finish it.

        `say` is told what is being done.
        """
        needs = {need.name: f"{need.name}{need.specifier}" for need in self._needs()}
        with contextlib.redirect_stdout(Heard(sys.stdout)) as heard:  # pip's lines go to the Python console, too
            try:
                for name in missing:
                    say(_("Installing {name} ...").format(name=name))
                    if name == "torch":
                        _installTorch()
                    else:
                        _pipInstall(needs[name])
            except FetalPoseError:
                raise
            except Exception as error:  # pip fails in many ways, and its exception tells none of them
                raise FetalPoseError(advice(f"{heard.text}\n{error}", error, missing)) from error
        importlib.invalidate_caches()
        if self.missing() or any(_isReplaced(name) for name in LOADED):
            raise FetalPoseError(_("Restart 3D Slicer to finish the installation, then click Estimate Pose again."))

    def _needs(self) -> list:
        """The requirements that hold on this computer, torch first: what it brings along need not be fetched again."""
        needs = [_requirement(f"torch{TORCH}"), *map(_requirement, _lines())]
        return [need for need in needs if need.marker is None or need.marker.evaluate(self._environment)]


def _lines() -> list[str]:
    """The requirements in Resources/requirements.txt."""
    path = Path(slicer.util.modulePath("FetalPose")).parent / "Resources" / "requirements.txt"
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _requirement(line: str):
    try:
        from packaging.requirements import Requirement
    except ImportError:  # 3D Slicer 5.10 has it only within pip
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(line)


def _isThere(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _misfit(need) -> bool:
    """Whether a package is known to have a version that does not do."""
    version = _version(need.name)
    return version is not None and not need.specifier.contains(version, prereleases=True)


def _isReplaced(name: str) -> bool:
    """Whether this process has loaded another version of a package than is installed now."""
    loaded, installed = getattr(sys.modules.get(name), "__version__", None), _version(name)
    return loaded is not None and installed is not None and loaded.split("+")[0] != installed.split("+")[0]


def _pipInstall(requirement: str) -> None:
    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # before 3D Slicer 5.12
        slicer.util.pip_install([requirement])
    else:  # the panel has asked, and says itself when to restart
        pip_ensure([requirement], prompt_install=False, prompt_restart=False, requester=_("Fetal Pose"))


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise FetalPoseError(
            _("Install the extension PyTorch with the Extensions Manager, restart 3D Slicer, and try again.")
        ) from None
    torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=False, torchVersionRequirement=TORCH, torchvisionVersionRequirement=TORCHVISION
    )
    if torch is None:
        raise FetalPoseError(_("PyTorch was not installed. Open the module PyTorch Utils to install it."))
