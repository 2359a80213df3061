"""A stand-in for the Qt side of 3D Slicer, so that the module runs where there is no desktop application.

MRML, Markups, storage, logics and `slicer.util` are Slicer's own, from the package slicer-core. What no wheel has is
built here on PySide6, to the names, signatures and property access of Slicer's Python: `qt` and `ctk`, the widgets that
a .ui file names, `slicer.app`, the scripted module's base classes and the parameter node wrapper. Only what FetalPose
uses is here. Nothing in FetalPose/ knows of it: inside 3D Slicer, `start` finds the real thing and does nothing.
"""

import sys


def start() -> None:
    """Make `import qt, ctk, slicer` give what a module finds in 3D Slicer. Does nothing there, and nothing twice."""
    import slicer

    if hasattr(slicer, "app"):
        return
    from host import application, ctk_widgets, i18n, parameter_node, pythonqt, scripted, widgets

    qt = pythonqt.build()
    sys.modules["qt"] = qt
    sys.modules["ctk"] = ctk_widgets.ctk_module()
    for name, module in {
        "ScriptedLoadableModule": scripted,
        "parameterNodeWrapper": parameter_node,
        "i18n": i18n,
    }.items():
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    for widget in widgets.MRML_WIDGETS:
        setattr(slicer, widget.__name__, widget)
    application.start()
