"""The training loop of every landmark network: L2 regression of heatmaps, resumable to the step.

How it learns is a `recipes.Recipe`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode, render
from FetalPoseLib.network.losses import heatmap_loss
from FetalPoseLib.network.precision import autocast
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.training.kept import BEST, LOG, STATE, append_row, read_state, write_state
from FetalPoseLib.training.pool import Pool
from FetalPoseLib.training.recipes import Recipe
from FetalPoseLib.training.tasks import Sample, Task, draw

BLANK = 0.05  # standard deviation of a sample that shows next to nothing; a whole volume has 1
REFRESH_EVERY = 100  # steps after which new cases are searched for


class Trainer:
    """One network in training in ``folder``: ``state.pt`` to resume from, ``log.jsonl``, and ``best.pt`` on validation.

    Parameters
    ----------
    validation : cases on which the error is measured every ``validate_every`` steps.
    """

    def __init__(
        self,
        net: LandmarkNet,
        task: Task,
        recipe: Recipe,
        pool: Pool,
        validation: list,
        folder: Path,
        *,
        validate_every: int = 500,
        save_every: int = 250,
        device: str = "cpu",
    ):
        # channels last: a third less time per step on a CPU, for the same numbers
        self.net = net.to(device, memory_format=torch.channels_last_3d)
        self.task, self.recipe, self.pool, self.validation = task, recipe, pool, validation
        self.folder, self.device = Path(folder), torch.device(device)
        self.validate_every, self.save_every = validate_every, save_every
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=recipe.learning_rate, betas=(recipe.beta1, 0.999))
        self.average = AveragedModel(self.net, multi_avg_fn=self._mix, use_buffers=True).requires_grad_(False)
        self.average.n_averaged.fill_(1)  # counts the initial weights; the first step's would replace them otherwise
        self.step, self.seconds, self.best = 0, 0.0, float("inf")
        self.stopped = False  # set it to have `run` end after the step in hand
        self.idle = 0  # validations in a row without a lower error
        self.folder.mkdir(parents=True, exist_ok=True)

    # state

    def save(self) -> None:
        """Write what is needed to go on from this very step; an interrupted write leaves the former state."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "idle": self.idle,
            "recipe": asdict(self.recipe),
            "config": self.net.config(),
            "task": asdict(self.task),
            **self._more_state(),
        }
        write_state(self.folder / STATE, state)

    def resume(self) -> bool:
        """Go on from ``state.pt`` if there is one; FetalPoseError if it is damaged, or of another network or task."""
        path = self.folder / STATE
        if not path.exists():
            return False
        state = read_state(path, self.device)
        state["config"] = {"recurrence": 0, **state["config"]}  # states from before there was one
        name, spacing = state["task"].get("name"), state["task"].get("spacing")
        if (state["config"], name, spacing) != (
            self.net.config(),
            self.task.name,
            self.task.spacing,
        ):
            raise FetalPoseError(
                f"{path} was trained as {name} at {_short(spacing)} mm with "
                f"{state['config']}, not as {self.task.name} at {self.task.spacing:g} mm with {self.net.config()}. "
                "Choose another folder, or the same options."
            )
        try:
            self.net.load_state_dict(state["net"])
            self.average.module.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self._load_more_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise FetalPoseError(f"{path} is damaged. Delete it to begin anew, or restore it from a copy.") from error
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.idle = state.get("idle", 0)  # states from before were never ended early
        return True

    def _more_state(self) -> dict:
        """Further entries of the state that another method keeps."""
        return {}

    def _load_more_state(self, state: dict) -> None:
        pass

    # steps

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do: all steps are done, or the error has long not fallen any more."""
        return self.step >= self.recipe.steps or 0 < self.recipe.patience <= self.idle

    def run(self, *, progress: bool = True) -> None:
        """Train until it has `ended`, or until ``stopped`` is set; saves, so that the next run goes on from there.

        With ``recipe.patience``, the weights to begin with are validated first, and are the best until they are beaten.
        """
        bar = tqdm(total=self.recipe.steps, initial=self.step, disable=not progress, unit="step", desc=self.task.name)
        losses, started = [], time.monotonic()
        try:
            if self.step == 0 and self.recipe.patience and self.validation:
                self.pool.refresh()
                self._log(None, bar)
                self.best *= 1 - self.recipe.gain
            while not self.ended and not self.stopped:
                due = self.step % REFRESH_EVERY == 0 or not self.pool.cases  # none yet after resuming
                if due and not self.pool.refresh():
                    raise FetalPoseError(f"There is no training case in {self.pool.folder}. Prepare some first.")
                losses.append(self._one_step())
                self.step += 1
                bar.update()
                if self.step % self.validate_every == 0 or self.step == self.recipe.steps:
                    self.seconds, started = self.seconds + time.monotonic() - started, time.monotonic()
                    self._log(float(np.mean(losses)), bar)
                    losses = []
                if self.step % self.save_every == 0:
                    self.save()
        finally:
            self.seconds += time.monotonic() - started
            self.save()
            bar.close()

    def _one_step(self) -> float:
        rng = np.random.default_rng([self.recipe.seed, self.step])
        sample = self._sample(rng)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        image, target = sample.image[None, None].to(self.device), self._target(sample)
        self.net.train()
        with self._precision():
            prediction = self.net(image)
        loss = self._loss(prediction[0].float(), target, image[0])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip or float("inf"))
        if torch.isfinite(norm):  # a nearly even picture makes gradients overflow, and one such step ends a training
            self.optimiser.step()
            self.average.update_parameters(self.net)
        return float(loss.detach())

    def _sample(self, rng: np.random.Generator) -> Sample:
        """A sample of a random case that shows something: the view of a cut fetus may lie outside the field."""
        while True:
            case = self.pool.pick(rng, self.recipe.own)
            sample = draw(self.task, case, rng, wrong_frames=True)
            if sample.image.std() > BLANK:
                return sample

    def _precision(self):
        return autocast(self.device, self.recipe.bfloat16)

    def _target(self, sample: Sample) -> torch.Tensor:
        grid = sample.grid.coarsened(self.net.input_stride)
        return render(grid.to_voxel(sample.points), grid.array_shape, self.task.sigma, self.device)

    def _loss(self, prediction: torch.Tensor, target: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Of heatmaps (16, nz, ny, nx) against theirs, for an image (1, Nz, Ny, Nx); other methods have another."""
        return heatmap_loss(prediction, target, self.recipe.foreground)

    def _mix(self, averages: list[torch.Tensor], new: list[torch.Tensor], count: torch.Tensor | int) -> None:
        """Mix parameters and buffers of one type into their averages: a longer memory the longer the training."""
        keep = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        if averages[0].dtype.is_floating_point:
            get_ema_multi_avg_fn(keep)(averages, new, count)
        else:  # counts of batches
            torch._foreach_copy_(averages, new)

    # validation

    def validate(self) -> dict[str, float]:
        """Errors of the averaged network over the validation cases, in mm: mean and median of the points it finds;
        the share of the visible points that it finds within 10 mm; and the mean height of the peaks of points that are
        visible, and of those that are not. None where there is nothing to take a mean of."""
        net = self.average.module.eval()
        set_normalisation(net, "volume")
        errors, heights, visible = [], [], []
        for index, case in enumerate(self.validation):
            # what sees the fetus in a frame is validated in frames that err as in use, the same ones every time
            rng = np.random.default_rng([0, index]) if self.task.lower is not None else None
            sample = draw(self.task, case, rng)
            with torch.no_grad(), self._precision():
                heatmaps = net(sample.image[None, None].to(self.device))[0].float()
            points, _ = decode(heatmaps)
            heights.append(heatmaps.amax(dim=(1, 2, 3)).cpu().numpy())
            found = sample.grid.coarsened(net.input_stride).to_world(points)
            errors.append(np.linalg.norm(found - sample.points, axis=1))
            visible.append(np.isfinite(sample.points).all(axis=1))
        errors, heights, visible = np.array(errors), np.array(heights), np.array(visible)
        measured = errors[np.isfinite(errors)]
        return {
            "mean_mm": _mean(measured),
            "median_mm": float(np.median(measured)) if measured.size else None,
            "within_10mm": _mean(errors[visible] < 10),
            "by_point_mm": [_mean(column[np.isfinite(column)]) for column in errors.T],
            "peak_visible": _mean(heights[visible]),
            "peak_not_visible": _mean(heights[~visible]),
        }

    def _log(self, loss: float | None, bar) -> None:
        row = {
            "step": self.step,
            "loss": loss,
            "seconds": round(self.seconds),
            "cases": len(self.pool.cases),
            **(self.validate() if self.validation else {}),
        }
        error = row.get("mean_mm")
        row["best"] = error is not None and error < self.best
        append_row(self.folder / LOG, row)
        self.idle += not row["best"] and self.step > 0
        if row["best"]:
            self.best, self.idle = error, 0
            write_state(self.folder / BEST, self.average.module.state_dict())
        shown = {"loss": loss, "mm": error}
        bar.set_postfix({key: f"{value:.4g}" for key, value in shown.items() if value is not None})


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if values.size else None


def _short(number: object) -> str:
    return f"{number:g}" if isinstance(number, int | float) else str(number)
