"""``python -m FetalPoseLib.cohort``: a volume process, which a Dask worker starts."""

from FetalPoseLib.cohort.volume_process import main

main()
