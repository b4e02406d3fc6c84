"""Training a score model: the loss, the loop, its moving average, and how it resumes.

Every step draws all its randomness from one seed and its own number. A run that was killed and
resumed therefore takes the very steps of a run that was not.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import copy
import csv
import os
import platform
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from . import checkpoints, recipes, records
from .corpora import Pair
from .denoisers import ScoreModel
from .recipes import TrainingConfig
from .spectrograms import Spectrogram, level


class Batches(Protocol):
    """Whatever draws pairs of clean and noisy waveforms, such as :class:`edmse_lite.Mixer`."""

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clean and noisy waveforms, each (size, T)."""
        ...


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


def denoising_loss(
    model: ScoreModel, x0: Tensor, y: Tensor, sigma: Tensor, noise: Tensor
) -> Tensor:
    r"""Loss of each item, averaged over its bins.

    .. math:: \lambda(\sigma)\,\lVert D(x_0 - y + \sigma\varepsilon;\,y,\,\sigma) - (x_0-y)\rVert^2

    Source: Karras et al. 2022, eq. 2, with r = x0 - y as the data (Gonzalez et al. 2024).

    Args:
        model: denoiser with its preconditioning.
        x0, y: clean and noisy spectrogram, shape (B, 1, F, L), complex.
        sigma: noise levels, shape (B,), above 0.
        noise: epsilon of unit variance, shape (B, 1, F, L), complex.

    Returns:
        Shape (B,). With EDM preconditioning an untrained network has a loss near 1 at every sigma.

    Chapter: 10.
    """
    r = x0 - y
    error = model(r + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - r
    weight = model.preconditioning.loss_weight(sigma).to(error.real)
    return weight.view(-1) * error.abs().square().mean(dim=(1, 2, 3))


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator that belongs to one step of one run."""
    return torch.Generator(device).manual_seed((seed + 1) * 1_000_003 + step)


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

    Raises:
        TrainingError: if the folder's state belongs to another configuration.

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
    ) -> None:
        self.model, self.spectrogram, self.batches = model, spectrogram, batches
        self.config, self.folder, self.valid = config, Path(folder), valid
        self.notes = notes or {}
        self.device = next(model.parameters()).device
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.step, self.seconds, self.audio_seconds = 0, 0.0, 0.0
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> Iterator[Progress]:
        """Take the remaining steps and yield each; states and validations are kept on the way.

        Raises:
            TrainingError: if the loss is not finite; the last good state stays.
        """
        config = self.config
        while self.step < config.steps:
            started = time.monotonic()
            loss, norm = self._take_step()
            self.step += 1
            self.seconds += time.monotonic() - started
            last = self.step == config.steps
            due = self.valid and (last or self.step % config.validate_every == 0)
            validation = self.validate() if due else {}
            progress = Progress(self.step, loss, norm, self.seconds / 3600, validation)
            if validation:
                self._log(progress)
            if last or self.step % config.save_every == 0 or validation:
                self.save()
            yield progress

    def _take_step(self) -> tuple[float, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate(self.step)
        loss = self._batch_loss()
        if not loss.isfinite():
            raise TrainingError(
                f"loss is {loss.item()} at step {self.step + 1}; {self.folder / 'state.pt'} holds "
                "the last good state. Lower the learning rate, or train with precision fp32"
            )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        weight = 1 - config.decay(self.step)
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, weight)
        return loss.item(), float(norm)

    def _batch_loss(self) -> Tensor:
        config = self.config
        generator = step_generator(config.seed, self.step)
        clean, noisy = self.batches.batch(config.batch_size, generator)
        self.audio_seconds += clean.numel() / 16_000
        scale = level(noisy)
        x0, y = self.spectrogram.forward(clean / scale), self.spectrogram.forward(noisy / scale)
        sigma = config.draw_sigma(len(clean), generator).to(self.device)
        on_device = step_generator(config.seed + 1, self.step, self.device)
        noise = torch.randn(y.shape, dtype=y.dtype, device=self.device, generator=on_device)
        with self._precision():
            return denoising_loss(self.model, x0, y, sigma, noise).mean()

    def _precision(self) -> torch.autocast | nullcontext[None]:
        if self.config.precision == "fp32":
            return nullcontext()
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[self.config.precision]
        return torch.autocast(self.device.type, dtype)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Enhance the validation pairs with the moving average; means of PESQ and SI-SDR."""
        from .enhancement import Enhancer
        from .metrics import evaluate

        sampler = replace(recipes.FAST, steps=self.config.validation_steps)
        enhancer = Enhancer(self.average.eval(), self.spectrogram, sampler)
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

        In this order a run that was killed between the two is not taken for a finished one.
        """
        checkpoints.save(self.folder, self.average, self.spectrogram, self.record())
        state = {
            "config": asdict(self.config), "step": self.step, "seconds": self.seconds,
            "audio_seconds": self.audio_seconds, "model": self.model.state_dict(),
            "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(), "notes": self.notes,
        }  # fmt: skip
        temporary = self.folder / "state.pt.part"
        try:
            torch.save(state, temporary)
            os.replace(temporary, self.folder / "state.pt")
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            raise TrainingError(
                f"{temporary}: cannot be written ({error}); free some space and run the same "
                "command again, it goes on from the last state"
            ) from None

    def resume(self) -> bool:
        """Go on from the folder's state if it has one; returns whether it had."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        notes = state.get("notes", self.notes)  # states of early versions have none
        made, wanted = state["config"], asdict(self.config)
        if "mixing" in notes and "mixing" in self.notes:
            made, wanted = made | notes["mixing"], wanted | self.notes["mixing"]
        if made != wanted:
            changed = [key for key, value in wanted.items() if made.get(key) != value]
            raise TrainingError(
                f"{path}: made with another {', '.join(changed)}; use the settings it was "
                "started with, or another folder"
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.audio_seconds = state["audio_seconds"]
        self.notes = notes
        return True

    def record(self) -> records.Record:
        """What a model card says of the training, stages before this one included."""
        before = self.notes.get("before")
        record = {
            **self.notes, "config": asdict(self.config), "steps": self.step,
            "hours": round(self.seconds / 3600, 3),
            "audio_hours": round(self.audio_seconds / 3600, 2),
            "hardware": describe_device(self.device), "torch": torch.__version__,
        }  # fmt: skip
        return records.follow(record, before) if before else record

    def _log(self, progress: Progress) -> None:
        path = self.folder / "history.csv"
        row = {"step": progress.step, "hours": progress.hours, "loss": progress.loss}
        row |= progress.validation
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({key: f"{value:.6g}" for key, value in row.items()})


def describe_device(device: torch.device) -> str:
    """The device in words: name of the GPU, or processor and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":")[1].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads ({device.type})"
