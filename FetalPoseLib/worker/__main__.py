"""`python -m FetalPoseLib.worker`: serve until standard input closes."""

from FetalPoseLib.worker.server import main

main()
