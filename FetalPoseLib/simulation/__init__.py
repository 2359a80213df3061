"""Physics-based simulator: fetal anatomy, kinematics, ultrasound image formation and data sets."""

DEFAULT_SPACING_MM = 0.5  #: of simulated volumes where nothing else is asked for, as a user's file would have it
