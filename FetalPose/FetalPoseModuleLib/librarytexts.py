"""The library's sentences, so that Slicer's tools for translation find them: they look for `_` in modules.

The library gives each sentence in English, with names for its values; that is the code under which it is translated.
`Testing/test_extension.py` checks that none is lacking here, and none is left over.
"""

from slicer.i18n import tr as _


def libraryTexts() -> tuple[str, ...]:
    """The library's sentences in the user's language."""
    return (
        _(", about {seconds:.0f} s left"),
        _("A pose in the library must be complete. Place {names} first."),
        _("A pose is being estimated. Wait for it, or cancel it first."),
        _("Cancelled."),
        _("Cannot write the pose {path}. Choose a name ending in {suffix} on a disk with room."),
        _("Choose a folder for your library in the settings first."),
        _("Choose a pose with all its landmarks first."),
        _("Choose the volume that the pose belongs to first."),
        _("Choose a volume first."),
        _("Done. Check the landmarks; drag what is wrong."),
        _("Estimate or choose a pose first."),
        _("Expected a scalar volume, got {kind}. Choose a 3D ultrasound volume."),
        _("Find the 16 landmarks in the volume and refine them against the pose library."),
        _("Locked, and not to be dragged: {names}. Unlock them in the module Markups."),
        _("Most landmarks lie outside the volume '{name}'. Choose the volume that the pose belongs to."),
        _("No landmark was placed yet. Drag the wrong ones to their places first."),
        _("Nobody has placed {names}: look at each before you train."),
        _("No point is named {names}: it was deleted or renamed, and measures nothing. Rename it, or estimate again."),
        _(
            "Nothing confirms this volume's geometry: it was computed, or read by an importer such as that of GE .vol"
            " files. Compare the spacing ({spacing} mm) with a distance that you know; if the fetus's left and right "
            "are exchanged, tick 'Volume is mirrored'."
        ),
        _("Points that are no landmarks are not measured: {names}. Delete them in the module Markups."),
        _("Refinement {iteration} of {iterations}"),
        _("Starting the network ..."),
        _(
            "The crown-rump length seems to be {crl:.0f} mm. The model knows fetuses of {low:.0f} to {high:.0f} mm, "
            "which is 10 to 14 weeks; for others its answer cannot be trusted. Check the volume's spacing, too. Show "
            "the pose all the same?"
        ),
        _("The folder {folder} cannot be made: {reason}. Choose another one."),
        _("The folder {folder} cannot be made: {reason}. Choose another one in the settings."),
        _("The markups '{name}' are not a fetal pose ({problems}). Rename their points."),
        _("The model is unsure of: {names}."),
        _("The pose is locked, so no landmark can be dragged. Unlock it in the module Markups."),
        _("The pose was deleted, so the run was stopped."),
        _("The pose {path} was not stored in full; the former file is kept. Is the disk full?"),
        _("The scene was closed, so the run was stopped."),
        _(
            "The volume '{name}' has a voxel spacing of {spacing} mm; {low:g} to {high:g} mm is plausible. Correct it"
            " in the file, or in Slicer's module Volumes."
        ),
        _("The volume '{name}' has {channels} values per voxel (colour). Choose a greyscale volume."),
        _("The volume '{name}' holds no finite value (all NaN or infinite). Export it again."),
        _("The volume '{name}' is 2D ({voxels} voxels). Choose a 3D volume, or the whole series."),
        _("The volume '{name}' is a label map. Choose the ultrasound volume itself."),
        _("The volume '{name}' is constant: every voxel is {value:g}. Choose a volume with a picture in it."),
        _("The volume '{name}' is empty. Load an ultrasound volume into it."),
        _(
            "The volume '{name}' is under the non-linear transform '{transform}', which bends lengths. Take it out of"
            " the transform, or harden it."
        ),
        _(
            "The volume '{name}' measures {extent} mm, and a fetus needs {least:g} mm on every side. Choose a volume "
            "that shows the whole fetus."
        ),
        _(
            "The volume '{name}' measures {extent} mm, more than any ultrasound volume ({most:g} mm). Correct its "
            "voxel spacing, now {spacing} mm."
        ),
        _(
            "The volume says that its voxels measure exactly 1 mm on each side, as importers do that do not know it. "
            "All lengths depend on it: check it in the module Volumes."
        ),
        _("The volume was deleted, so the run was stopped."),
        _("This volume is in the training set already, as {name}. Delete that pair to put it in anew."),
        _("Two points are named {names}, so neither is measured. Delete one in the module Markups."),
        _("There is no library {path}. Choose another folder in the settings."),
        _(
            "This volume may hold no fetus, or the fetus was not found: the mean confidence of its landmarks is only "
            "{mean:.2f}. Check the volume's spacing and that the whole fetus is in it. Show the pose all the same?"
        ),
        _("{low} to {high}"),
        _("{refusal} If you know it, set it in Slicer's module Volumes."),
        _("Wrote {stem}; the training set holds {count}."),
        _("marked not visible"),
        _("not visible"),
        _("placed by you"),
    )
