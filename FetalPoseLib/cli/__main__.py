"""`python -m FetalPoseLib.cli`, as `fetalpose`."""

import sys

from FetalPoseLib.cli import main

sys.exit(main())
