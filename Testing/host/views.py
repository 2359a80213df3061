"""The four views of Slicer's default layout as one picture, drawn off screen by Slicer's own displayable managers."""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SIZE = 420  # pixels of a view


def four_views(volume) -> np.ndarray:
    """Red, 3D, green and yellow view of the scene, around where the slices and the camera are now; (h, w, 3) uint8."""
    panes = {name: _slice_view(name, volume) for name in ("Red", "Green", "Yellow")}
    panes["3D"] = _three_d_view()
    gap = np.full((SIZE, 6, 3), 255, np.uint8)
    rows = [np.hstack([panes[left], gap, panes[right]]) for left, right in (("Red", "3D"), ("Green", "Yellow"))]
    return np.vstack([rows[0], np.full((6, rows[0].shape[1], 3), 255, np.uint8), rows[1]])


def save(picture: np.ndarray, path, *, bits: int = 8) -> None:
    """Write a picture with so many bits per colour; with fewer its file is smaller."""
    from PIL import Image

    lost = 8 - bits
    Image.fromarray((picture >> lost << lost) + np.uint8((1 << lost) - 1)).save(path, optimize=True)


def _slice_view(name: str, volume) -> np.ndarray:
    scene, application = slicer.mrmlScene, slicer.app.applicationLogic()
    node = scene.GetNodeByID(f"vtkMRMLSliceNode{name}")
    logic = application.GetSliceLogic(node)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    node.SetDimensions(SIZE, SIZE, 1)
    renderer, window = _window()
    renderer.GetActiveCamera().ParallelProjectionOn()
    image = vtk.vtkImageActor()
    logic.UpdatePipeline()
    image.GetMapper().SetInputConnection(logic.GetImageDataConnection())
    image.InterpolateOff()
    renderer.AddActor(image)
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(SIZE / 2, SIZE / 2, 0)
    camera.SetPosition(SIZE / 2, SIZE / 2, 100)
    camera.SetParallelScale(SIZE / 2)
    kinds = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLMarkupsDisplayableManager")
    managers = _managers(kinds, renderer, node)
    return _picture(window, renderer, managers)


def _three_d_view() -> np.ndarray:
    scene = slicer.mrmlScene
    node = scene.GetNodeByID("vtkMRMLViewNode1")
    camera = scene.GetFirstNodeByClass("vtkMRMLCameraNode")
    renderer, window = _window()
    renderer.SetActiveCamera(camera.GetCamera())
    renderer.GradientBackgroundOn()
    renderer.SetBackground(node.GetBackgroundColor())
    renderer.SetBackground2(node.GetBackgroundColor2())
    kinds = ("vtkMRMLModelDisplayableManager", "vtkMRMLMarkupsDisplayableManager")
    return _picture(window, renderer, _managers(kinds, renderer, node))


def _window():
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(SIZE, SIZE)
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    return renderer, window


def _managers(kinds, renderer, view) -> list:
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    managers = []
    for kind in kinds:
        manager = getattr(slicer, kind)()
        manager.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        group.AddDisplayableManager(manager)
        managers.append(manager)
    group.SetMRMLDisplayableNode(view)
    return [group, *managers]


def _picture(window, renderer, managers) -> np.ndarray:
    renderer.ResetCameraClippingRange()
    window.Render()
    window.Render()  # markups place their labels by what the first has drawn
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(SIZE, SIZE, -1)[::-1, :, :3]
    managers[0].SetMRMLDisplayableNode(None)
    window.Finalize()
    return np.ascontiguousarray(pixels)
