"""What is known of the body, in numpy: skeleton, frame, library, measurements, plausibility, planes, posture, size.

May import `npz`, `resources` and `errors`; of other packages numpy, and scipy for rotations. A new file here is one
more thing that can be said of a pose without a picture.
"""
