"""Training a score model: the loss, the loop, its moving average, and how it resumes.

Every step draws all its randomness from one seed and its own number. A run that was killed and
resumed therefore takes the very steps of a run that was not.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from . import checkpoints, recipes, records, states
from .batches import Batch, Batches, Draws, step_generator
from .corpora import Pair
from .denoisers import ScoreModel
from .losses import MeanLoss, denoising_loss
from .parallel import Alone, Plan, describe_device
from .recipes import TrainingConfig
from .samplers import EDM
from .spectrograms import Spectrogram
from .states import TrainingError

__all__ = ["Batches", "Progress", "Trainer", "TrainingError", "denoising_loss", "step_generator"]


@dataclass(frozen=True)
class Progress:
    """What a step tells: its number (from 1), loss, gradient norm, and a validation if one was due.

    Args:
        step: steps taken.
        loss: mean over the batch.
        gradient_norm: before clipping.
        hours: training time of the whole run so far, validations left out.
        validation: metric to mean over the validation pairs; empty where none was due.
    """

    step: int
    loss: float
    gradient_norm: float
    hours: float
    validation: dict[str, float]


class Trainer:
    """Trains a score model on batches and keeps its state in a folder.

    Args:
        model: the model to train; its network is changed in place.
        spectrogram: transform between waveforms and what the model sees.
        batches: source of clean and noisy waveforms, on the model's device.
        config: how to train.
        folder: receives ``state.pt``, ``history.csv`` and the checkpoint of the moving average.
        valid: pairs for validation; none are needed.
        notes: what else the record says: the command, the mixtures, and under ``before`` the
            record of the checkpoint that it begins with, its ``sha256`` included.
        team: the processes that train together; the default is this one alone.
        plan: how the work of a step is divided.
        sampler: of the validations, with the steps that ``config`` says.

    Raises:
        TrainingError: if a batch cannot be divided so, or the processes were told different things.

    Chapter: 10.
    """

    def __init__(
        self,
        model: ScoreModel,
        spectrogram: Spectrogram,
        batches: Batches,
        config: TrainingConfig,
        folder: str | Path,
        valid: tuple[Pair, ...] = (),
        notes: records.Record | None = None,
        team: Alone | None = None,
        plan: Plan | None = None,
        sampler: EDM = recipes.FAST,
    ) -> None:
        self.sampler = replace(sampler, steps=config.validation_steps)
        self.model, self.spectrogram, self.config = model, spectrogram, config
        self.folder, self.valid, self.notes = Path(folder), valid, notes or {}
        self.device = next(model.parameters()).device
        self.team, self.plan = team or Alone(self.device), plan or Plan()
        self.draws = self.team.together(lambda: Draws(
            batches, spectrogram, config, self.team, self.plan, self.device, model.sde
        ))  # fmt: skip
        self._places = [self.draws.place(0)]  # of the source of each process
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        if self.plan.compile:
            model.network.compile()
        self._loss = self.team.wrap(MeanLoss(model))
        self.step, self.seconds, self.audio_seconds = 0, 0.0, 0.0
        first = self.team.from_first(self._begin)
        self.team.together(lambda: states.check_told(self.team.rank, first, self._settings()))

    def _begin(self) -> dict[str, Any]:
        states.begin(self.folder)
        return self._settings()

    def run(self) -> Iterator[Progress]:
        """Take the remaining steps and yield each; states and validations are kept on the way.

        Raises:
            TrainingError: if the loss is not finite; the last good state stays.
        """
        config = self.config
        while self.step < config.steps:
            started = time.monotonic()
            loss, norm = self.take_step()
            self.seconds += time.monotonic() - started
            last = self.step == config.steps
            due = self.valid and (last or self.step % config.validate_every == 0)
            validation = self.team.from_first(self.validate) if due else {}
            progress = Progress(self.step, loss, norm, self.seconds / 3600, validation)
            if validation and self.team.first:
                row = {"step": self.step, "hours": progress.hours, "loss": loss}
                states.log(self.folder, row | validation)
            if last or self.step % config.save_every == 0 or validation:
                self.save()
            yield progress

    def take_step(self) -> tuple[float, float]:
        """Take one step of the optimiser; returns the loss and the norm of its gradient.

        Raises:
            TrainingError: if the loss is not finite; the weights stay as they were.
        """
        batch = self.draws.of(self.step)
        found = self.backward(batch)
        self.draws.ahead(self.step + 1)  # while the device computes
        loss, norm = found.tolist()
        if not math.isfinite(loss):
            raise self.team.shared(TrainingError(
                f"loss is {loss} at step {self.step + 1}; {self.folder / states.STATE} holds "
                "the last good state. Lower the learning rate, or train with precision fp32"
            ))  # fmt: skip
        self.update()
        self.audio_seconds += batch.seconds * self.team.size
        return loss, norm

    def backward(self, batch: Batch) -> Tensor:
        """Leave the clipped gradient of a batch; loss and norm over all processes, shape (2,)."""
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=self.device)
        pieces = batch.pieces(self.plan.accumulate)
        for number, piece in enumerate(pieces, 1):
            last = number == len(pieces)
            with nullcontext() if last else self.team.silently(self._loss), self._exactly():
                with self.precision():
                    share = self._loss(*piece.tensors) / len(pieces)
                self.scaler.scale(share).backward()
            loss += share.detach()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        return torch.stack([self.team.mean(loss), norm])

    def update(self) -> None:
        """Take the step that the gradient says, and let the moving average follow."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        follow = get_ema_multi_avg_fn(self.config.decay(self.step))
        follow([*self.average.parameters()], [*self.model.parameters()], None)
        self.step += 1

    def _exactly(self) -> AbstractContextManager[Any]:
        """On a GPU, convolutions whose sums have one order: a resumed run is the same run."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)

    def precision(self) -> AbstractContextManager[Any]:
        """Context in which the network computes in the precision of the run."""
        if self.config.precision == "fp32":
            return nullcontext()
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[self.config.precision]
        return torch.autocast(self.device.type, dtype)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Enhance the validation pairs with the moving average; means of PESQ and SI-SDR."""
        from .enhancement import Enhancer
        from .metrics import evaluate

        enhancer = Enhancer(self.average.eval(), self.spectrogram, self.sampler)
        noisy = torch.stack([pair.noisy for pair in self.valid])
        enhanced = torch.as_tensor(enhancer(noisy, 16_000, seed=0)).cpu()
        scores = [
            evaluate(pair.clean, wave, names=("pesq", "si_sdr"))
            for pair, wave in zip(self.valid, enhanced, strict=True)
        ]
        return {
            name: torch.tensor([score[name] for score in scores]).nanmean().item()
            for name in ("pesq", "si_sdr")
        }

    def save(self) -> None:
        """Write the checkpoint of the moving average, then the training state, each atomically.

        In this order a run that was killed between the two is not taken for a finished one. The
        first time the state comes first: a model without one would be taken for another run's.

        Raises:
            TrainingError, OSError: the disk is full; what was saved before stays.
        """
        self._places = self.team.gather(self.draws.place(self.step))
        self.team.from_first(self._save)

    def _save(self) -> None:
        begun = (self.folder / states.STATE).exists()
        for keep in (self._keep_model, self._keep_state)[:: 1 if begun else -1]:
            keep()

    def _keep_model(self) -> None:
        checkpoints.save(self.folder, self.average, self.spectrogram, self.record())

    def _keep_state(self) -> None:
        states.write(
            self.folder,
            self._settings() | {
                "step": self.step, "seconds": self.seconds, "audio_seconds": self.audio_seconds,
                "places": self._places,
                "model": self.model.state_dict(), "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            },
        )  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        model = self.model
        parts = {
            "network": getattr(model.network, "config", None), "sde": model.sde,
            "preconditioning": model.preconditioning, "sigma_range": model.sigma_range,
            "spectrogram": self.spectrogram,
        }  # fmt: skip
        return {
            "config": asdict(self.config), "notes": self.notes, "parts": self.draws.parts,
            "design": {name: repr(part) for name, part in parts.items()},
        }  # fmt: skip

    def resume(self) -> bool:
        """Go on from the folder's state if it has one; returns whether it had.

        Raises:
            TrainingError: if the state is damaged, or belongs to a run with other settings.
        """
        state = self.team.from_first(self._read)
        if state is None:
            return False
        for name in ("model", "average", "optimizer", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]
        self.audio_seconds = state["audio_seconds"]
        self.notes = state.get("notes", self.notes)
        self._places = state.get("places", self._places)
        if "places" in state:  # states of early versions have none
            self.draws.go_to(self.step, self._places)
        self.team.from_first(self._mend)
        return True

    def _mend(self) -> None:
        """Write the model where a kill came between the first state and it."""
        if not (self.folder / checkpoints.CONFIG).exists():
            self._keep_model()

    def _read(self) -> dict[str, Any] | None:
        state = states.read(self.folder)
        if state is not None:
            states.check_same(self.folder / states.STATE, state, self._settings())
            states.forget_after(self.folder, state["step"])
        return state

    def record(self) -> records.Record:
        """What a model card says of the training, stages before this one included."""
        before = self.notes.get("before")
        met = dict.fromkeys(fault for place in self._places for fault in place["skipped"])
        notes = self.notes | ({"skipped": [*self.notes.get("skipped", []), *met]} if met else {})
        record = {
            **notes, "config": asdict(self.config), "steps": self.step,
            "hours": round(self.seconds / 3600, 3),
            "audio_hours": round(self.audio_seconds / 3600, 2),
            "hardware": describe_device(self.device), "torch": torch.__version__,
        }  # fmt: skip
        return records.follow(record, before) if before else record
