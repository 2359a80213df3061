"""Skeleton model and length labels belong to one pose: a copy of its node refers to them, but does not own them."""

POSE_ROLE = "FetalPose.Pose"  # node reference from what is derived back to its pose


def own(node, derived, role: str) -> None:
    """Make ``derived`` a part of the pose ``node``, found under ``role``."""
    node.SetNodeReferenceID(role, derived.GetID())
    derived.SetNodeReferenceID(POSE_ROLE, node.GetID())


def owned(node, role: str):
    """The node under ``role`` if it belongs to the pose, None otherwise. A reference that was copied is dropped.

    What an earlier version made names no owner: the first pose that asks becomes it.
    """
    derived = node.GetNodeReference(role)
    if derived is None:
        return None
    owner = derived.GetNodeReference(POSE_ROLE)
    if owner is None:
        derived.SetNodeReferenceID(POSE_ROLE, node.GetID())
    elif owner is not node:
        node.SetNodeReferenceID(role, None)
        return None
    return derived
