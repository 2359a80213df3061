"""What a scene file brought as parameters, checked before it is taken for what a person chose.

A scene may come from anyone. The parameter node wrapper checks what is written, and raises at what a file holds.
"""

from collections.abc import Callable
from functools import cache

from slicer.i18n import tr as _

from FetalPoseLib.errors import listed
from FetalPoseLib.refinement.options import REFINEMENTS
from FetalPoseModuleLib.parameters import DEFAULTS, ITERATIONS, NEIGHBOURS, OWN_SPACING, SPACINGS, models

_TRUTHS = ("true", "false", "1", "0")
_NODES = {"inputVolume": "vtkMRMLScalarVolumeNode", "pose": "vtkMRMLMarkupsFiducialNode"}


def _among(*allowed: str) -> Callable[[str], bool]:
    return lambda text: text in allowed


def _within(lowest: int, highest: int) -> Callable[[str], bool]:
    return lambda text: text.isdecimal() and len(text) < 10 and lowest <= int(text) <= highest


def _isTruth(text: str) -> bool:
    return text.lower() in _TRUTHS


@cache
def _texts() -> dict[str, tuple[Callable[[str], bool], str]]:
    """By parameter: whether a text is a value that the panel offers, and the text of the default."""
    return {
        "model": (_among(*models()), DEFAULTS.model),
        "spacing": (_among(*SPACINGS), OWN_SPACING),
        "refinement": (_among(*REFINEMENTS), DEFAULTS.refinement),
        "iterations": (_within(*ITERATIONS), str(DEFAULTS.iterations)),
        "neighbours": (_within(*NEIGHBOURS), str(DEFAULTS.k)),
        "mirrored": (_isTruth, "False"),
        "showLengths": (_isTruth, "True"),
        "showNames": (_isTruth, "False"),
    }


def resetUnusable(node) -> str:
    """Put the default in place of each parameter that the panel does not offer; a sentence about them, or "".

    So no scene has another file opened as a model than those of the manifest.

    Parameters
    ----------
    node : vtkMRMLScriptedModuleNode
        The parameter node of the module, before it is wrapped.
    """
    changed = []
    for name, (isUsable, default) in _texts().items():
        text = node.GetParameter(name) if node.HasParameter(name) else default
        if not isUsable(text):
            node.SetParameter(name, default)
            changed.append(f"{name} '{text}'")
    for name, kind in _NODES.items():
        referenced = node.GetNodeReference(name)
        if referenced is not None and not referenced.IsA(kind):
            node.SetNodeReferenceID(name, None)
            changed.append(f"{name} '{referenced.GetName()}'")
    if not changed:
        return ""
    text = _("The scene asks for what is not offered here ({values}); the default is taken.")
    return text.format(values=listed(changed))
