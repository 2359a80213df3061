"""Physics-based simulator: fetal anatomy, kinematics, ultrasound image formation and data sets."""
