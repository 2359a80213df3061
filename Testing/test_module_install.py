"""The first click on Estimate Pose: what is asked, what is installed, what happens meanwhile, why it may fail."""

import sys
import types

import numpy as np
import pytest
import slicer
import slicer.util

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError

INTEL_MAC = {"sys_platform": "darwin", "platform_machine": "x86_64"}
VERSIONS = {"torch": "2.9.0", "numpy": np.__version__, "safetensors": "0.5", "scipy": "1.13.0"}


@pytest.fixture
def installer(slicer_app, monkeypatch):
    """The module `installer` as if these versions were there; `versions` is changed by the tests."""
    from FetalPoseModuleLib import installer

    monkeypatch.setattr(installer, "LOADED", ("numpy",))  # other tests may have loaded a torch of another version
    installer.versions = dict(VERSIONS)
    monkeypatch.setattr(installer, "_version", lambda name: installer.versions.get(name))
    monkeypatch.setattr(installer, "_isThere", lambda name: name in installer.versions)
    return installer


@pytest.fixture
def pip(monkeypatch, installer):
    """What pip was asked for, as the calls of 3D Slicer 5.10; it installs what is wanted unless `fails` is text."""
    pip = types.SimpleNamespace(asked=[], fails="")

    def install(requirements):
        pip.asked.append(requirements)
        if pip.fails:
            print(pip.fails)
            raise RuntimeError("Command '['PythonSlicer', '-m', 'pip']' returned non-zero exit status 1.")
        for requirement in requirements:
            name = requirement.split("<")[0].split(">")[0]
            installer.versions[name] = {"numpy": "1.26.4", "torch": "2.2.2", "safetensors": "0.5", "scipy": "1.15"}[
                name
            ]

    def installTorch(**options):
        pip.asked.append(options)
        installer.versions["torch"] = "2.2.2"
        return object()

    monkeypatch.setattr(slicer.util, "pip_install", install)
    logic = types.SimpleNamespace(installTorch=installTorch)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    return pip


# --- which packages


def test_the_last_torch_for_macos_on_intel_will_do(installer):
    installer.versions["torch"] = "2.2.2"
    assert installer.Installer().missing() == []
    installer.versions["torch"] = "2.1.0"
    assert installer.Installer().missing() == ["torch"]


def test_on_macos_on_intel_numpy_2_is_replaced_and_slicer_is_to_be_restarted(installer, pip):
    installer.versions = {"numpy": np.__version__, "safetensors": "0.5", "scipy": "1.13.0"}
    intel = installer.Installer(environment=INTEL_MAC)
    assert intel.missing() == ["torch", "numpy"]
    question = intel.question(intel.missing())
    assert f"numpy {np.__version__} is installed" in question and "<2" in question
    with pytest.raises(FetalPoseError, match="Restart 3D Slicer"):
        intel.install(intel.missing())
    torch = {"torchVersionRequirement": ">=2.2", "torchvisionVersionRequirement": ">=0.17", "askConfirmation": False}
    assert pip.asked == [torch, ["numpy<2"]]
    assert intel.missing() == [] and installer.Installer().missing() == []


def test_another_version_that_is_replaced_is_named_before(installer):
    installer.versions["torch"] = "2.1.0+cu118"
    question = installer.Installer().question(["torch"])
    assert "torch 2.1.0+cu118 is installed, perhaps by another extension, and will be replaced" in question
    del installer.versions["torch"]
    assert "will be replaced" not in installer.Installer().question(["torch"])


def test_slicers_own_pip_ensure_is_used_where_it_exists(installer, pip, monkeypatch):
    calls = []

    def pip_ensure(requirements, **options):
        calls.append((requirements, options))
        installer.versions["scipy"] = "1.15"

    monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_ensure=pip_ensure))
    installer.versions["scipy"] = "1.9"
    installer.Installer().install(["scipy"])
    [(requirements, options)] = calls
    assert requirements == ["scipy>=1.13"] and not options["prompt_install"] and not options["prompt_restart"]
    assert pip.asked == []


# --- why it fails


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("NewConnectionError: Failed to establish a new connection: [Errno -2] Name or service not known\n"
         "ERROR: No matching distribution found for scipy", "could not be reached"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: [Errno 13] Permission denied: '/opt/Slicer/lib/Python'", "may not write into its own folder"),
        ("OSError: [WinError 32] The process cannot access the file: being used by another process", "is in use"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("ERROR: Could not find a version that satisfies the requirement scipy (from versions: none)", "this kind of"),
        ("Segmentation fault", "returned non-zero exit status 1"),
    ],
)  # fmt: skip
def test_a_failure_is_told_by_its_cause(installer, pip, capsys, printed, said):
    installer.versions["scipy"], pip.fails = "1.9", printed
    with pytest.raises(FetalPoseError) as failed:
        installer.Installer().install(["scipy"])
    assert said in str(failed.value)
    assert ("without access to the internet" in str(failed.value).lower()) == (said in (
        "could not be reached", "certificate", "returned non-zero exit status 1"))  # fmt: skip
    assert printed in capsys.readouterr().out  # the console shows it, too


# --- meanwhile


def lacking(bench):
    bench.installer.lacking = ["torch"]
    return bench.volume()


def test_a_module_that_is_left_while_pip_runs_estimates_nevertheless(bench):
    lacking(bench)
    bench.installer.watch = bench.panel.exit
    bench.estimate()
    assert bench.installer.installed == ["torch"]
    bench.panel.enter()
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth, atol=1e-6)


def test_a_scene_that_is_closed_while_pip_runs_is_a_message(bench):
    lacking(bench)
    bench.installer.watch = lambda: slicer.mrmlScene.Clear(0)
    bench.ui.estimateButton.click()
    assert not bench.session.running and "the volume is no longer in the scene" in bench.status
    bench.volume()
    assert bench.estimate() is not None


def test_a_second_click_while_pip_runs_installs_nothing_twice(bench):
    lacking(bench)
    seen = []

    def click_again():
        seen.append(bench.ui.estimateButton.enabled)
        bench.panel.actions.onEstimate() if bench.ui.estimateButton.enabled else bench.ui.estimateButton.click()

    bench.installer.watch = click_again
    bench.estimate()
    assert seen == [False] and bench.installer.installed == ["torch"] and len(bench.requests()) == 1
