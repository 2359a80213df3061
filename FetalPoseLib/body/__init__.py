"""What is known of the body, in numpy: skeleton, frame, library, measurements, plausibility, planes, posture, size.

Imports nothing of FetalPose but ``errors``, ``files`` and ``resources``. A new file here is one more thing that can
be said of a pose without a picture.
"""
