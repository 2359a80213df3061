"""Physics-based simulator: fetal anatomy, kinematics, ultrasound image formation and data sets.

May import `network`, `volume`, `body`, `files`, `resources` and `errors`, and `scene` in ``files``, which writes what
was simulated; nothing that estimates a pose imports from here. A new file here is one more thing in a body, in its
surroundings or in how a probe shows them; `datasets` draws subjects from all of them.
"""

NATIVE_SPACING_MM = 0.5  #: voxels as machines store them, of version 1 of the simulator
DEFAULT_SPACING_MM = NATIVE_SPACING_MM  #: of volumes where nothing else is asked for, as a user's file would have it
