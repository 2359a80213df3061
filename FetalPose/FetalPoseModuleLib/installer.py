"""What the network needs and Slicer does not bring: PyTorch, through the PyTorch extension, and safetensors, by pip."""

import importlib.util
import re
from importlib import metadata

import slicer
from slicer.i18n import tr as _

from FetalPoseLib.errors import FetalPoseError

PACKAGES = {"torch": "torch>=2.4", "safetensors": "safetensors>=0.4.3", "scipy": "scipy>=1.13"}


class Installer:
    """Looks without importing, asks before it changes anything, and is not needed a second time."""

    def missing(self) -> list[str]:
        """The packages that are not there, or are older than the network's code needs."""
        return [name for name, wanted in PACKAGES.items() if importlib.util.find_spec(name) is None or _old(wanted)]

    def question(self, missing: list[str]) -> str:
        return _(
            "FetalPose runs a neural network on this computer. It needs the Python packages {packages}, which this "
            "installation of 3D Slicer does not have yet. They will be downloaded (up to 3 GB with support for an "
            "NVIDIA graphics card) and installed once; this takes some minutes. No image leaves this computer.\n\n"
            "Install them now?"
        ).format(packages=", ".join(missing))

    def install(self, missing: list[str], say=lambda text: None) -> None:
        """Install; FetalPoseError with what to do offline if that fails. `say` is told what is being done."""
        try:
            for name in missing:
                say(_("Installing {name} ...").format(name=name))
                if name == "torch":
                    self._installTorch()
                else:
                    slicer.util.pip_install(PACKAGES[name])
        except FetalPoseError:
            raise
        except Exception as error:  # pip fails in many ways: no network, no space, no permission
            raise FetalPoseError(self.offlineHelp(missing, error)) from error
        importlib.invalidate_caches()
        if self.missing():
            raise FetalPoseError(_("Restart 3D Slicer to finish the installation, then click Estimate Pose again."))

    def offlineHelp(self, missing: list[str], error) -> str:
        return _(
            "The installation failed: {error}\nWithout access to the internet: on a computer of the same kind that "
            "has it, run 'PythonSlicer -m pip download --dest packages {names}', copy the folder 'packages' here, run "
            "'PythonSlicer -m pip install --no-index --find-links packages {names}', and restart 3D Slicer."
        ).format(error=error, names=" ".join(missing))

    def _installTorch(self) -> None:
        try:
            import PyTorchUtils
        except ImportError:
            raise FetalPoseError(
                _("Install the extension PyTorch with the Extensions Manager, restart 3D Slicer, and try again.")
            ) from None
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=">=2.4")
        if torch is None:
            raise FetalPoseError(_("PyTorch was not installed. Open the module PyTorch Utils to install it."))


def _old(requirement: str) -> bool:
    """Whether the package of a requirement such as "torch>=2.4" is known to be older than that."""
    name, least = requirement.split(">=")
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return _numbers(have) < _numbers(least)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.match(r"\d+(?:\.\d+)*", version)[0].split(".")]
