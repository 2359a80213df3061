"""What a person chooses, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from FetalPoseLib.refinement.options import EstimateOptions

USER_LIBRARY = "my-poses.npz"  # the file of a person's own atlases, in the folder that the person chose


@dataclass(frozen=True)
class Settings:
    """The options of an estimate, and what else a panel offers."""

    options: EstimateOptions = EstimateOptions()  #: of the network and the refinement
    mirrored: bool = False  #: the volume has left and right exchanged
    show_lengths: bool = True  #: beside the segments, in the views
    show_names: bool = False  #: beside the landmarks, in the views
    show_uncertainty: bool = False  #: a sphere around each landmark within which it lies in 90 % of cases, if known
    align_views: bool = True  #: the slice views and the 3D camera look at the fetus after an estimate
    library_folder: str = ""  #: of the person's own atlases; "" where none is chosen

    @property
    def user_library(self) -> Path | None:
        """The file of the person's own atlases, which may not exist yet; None where no folder is chosen."""
        return Path(self.library_folder) / USER_LIBRARY if self.library_folder else None

    @property
    def requested(self) -> EstimateOptions:
        """The options as the network gets them: with the person's own library, if it exists."""
        own = self.user_library
        if own is None or not own.is_file() or str(own) in self.options.libraries:
            return self.options
        return replace(self.options, libraries=(*self.options.libraries, str(own)))
