from FetalPoseLib.body.estimate import Estimate as Estimate
from FetalPoseLib.body.pose_library import PoseLibrary as PoseLibrary
from FetalPoseLib.body.skeleton import Skeleton as Skeleton
from FetalPoseLib.errors import FetalPoseError as FetalPoseError
from FetalPoseLib.estimator import Estimator as Estimator
from FetalPoseLib.scene.volume_file import read_volume as read_volume
from FetalPoseLib.volume.grid import Volume as Volume

__version__: str
__all__: list[str]

def __dir__() -> list[str]: ...
