"""What the page "Enhance it in your browser" loads, made from the shipped checkpoint by the build.

The network as ONNX, a few clips of the corpus, results for browsers that cannot run the network,
and `manifest.json`, which says what there is, how large it is and how the score model is set.
"""

import gzip
import hashlib
import io
import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import soundfile
import torch

import edmse_lite as se
from edmse_lite import checkpoints, export, pages, recipes
from edmse_lite.metrics import si_sdr
from edmse_lite.spectrograms import REFERENCE_RMS, SAMPLE_RATE

ROOT = Path(__file__).resolve().parent.parent.parent
VENDOR = ROOT / "book" / "_static" / "vendor" / "onnxruntime"
RUNTIME = ("ort-wasm-simd-threaded.wasm.gz", "ort.wasm.bundle.min.mjs")
ROOMS = ("export", "networks", "enhancement", "samplers", "grids", "recipes", "mixing", "pages")
SPEECH = (
    "en/followme--pls-hold-while-try", "en/conf-getconfno", "es/vm-reachoper", "fr/conf-getpin",
    "it/conf-getpin", "ru/check-number-dial-again", "ru/conf-userswilljoin",
)  # fmt: skip
NOISES = {
    "megaglest-rain-2": "rain", "0ad-waterfall-31": "waterfall", "flare-cave-wind-loop": "wind",
    "redeclipse-forest2": "forest birds", "endless-machinery": "machinery",
    "0ad-amb-trade-10": "crowded market", "redeclipse-nightcrickets": "crickets",
    "0ad-amb-port-10": "port",
}  # fmt: skip
LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}
VOICES = {"allison": "Allison", "june": "June", "carlo": "Carlo", "ivrvoice": "IVRvoice"}
NOISE_SECONDS = 4
PREPARED = ((0, 0, 5.0), (3, 4, 5.0), (5, 5, 5.0))  # speech, noise, mixture SNR; the first opens


def make_lab(folder: Path, cache: Path) -> dict[str, Any]:
    """Fill a folder with what the page loads; what is up to date comes from the cache."""
    key = _key()
    made = cache / key
    if not (made / "manifest.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache.parent) as place:  # another process may do the same
            part = Path(place) / key
            part.mkdir()
            _write(part)
            for old in cache.iterdir():
                if old.name != key:
                    shutil.rmtree(old, ignore_errors=True)
            with suppress(OSError):  # the other process was first: both are the same
                part.rename(made)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    return json.loads((folder / "manifest.json").read_text())


def _key() -> str:
    """Hash what the files depend on: this module, pins, weights, library rooms, the runtime."""
    digest = hashlib.sha256()
    weights = sorted(checkpoints.find(recipes.MODEL).iterdir())
    rooms = [ROOT / "edmse_lite" / f"{room}.py" for room in ROOMS]
    pins = ROOT / "requirements.lock"
    for file in (Path(__file__), pins, *weights, *rooms, *(VENDOR / each for each in RUNTIME)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _write(folder: Path) -> None:
    enhancer = se.Enhancer.from_pretrained(device="cpu")
    model = gzip.compress(export.to_onnx(enhancer.denoiser.network), 9, mtime=0)
    name = f"network-{hashlib.sha256(model).hexdigest()[:8]}.onnx.gz"
    (folder / name).write_bytes(model)
    speech, noises = _clips(folder)
    manifest = {
        "model": {"file": name, "bytes": len(model)},
        "runtime": [{"file": each, "bytes": _bytes(VENDOR / each)} for each in RUNTIME],
        "score": _score(enhancer),
        "speech": speech,
        "noises": noises,
        "prepared": [_prepared(folder, enhancer, i, *case) for i, case in enumerate(PREPARED)],
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def _bytes(file: Path) -> int:
    """Return what a host sends: scripts are gzipped on the way."""
    data = file.read_bytes()
    return len(data if file.suffix == ".gz" else gzip.compress(data, 6))


def _score(enhancer: se.Enhancer) -> dict[str, Any]:
    """Describe the score model as the scripts read it."""
    preconditioning = asdict(enhancer.denoiser.preconditioning)
    sigma_data = preconditioning.pop("sigma_data")
    if set(preconditioning.values()) != {"edm"} or type(enhancer.sde).__name__ != "VE":
        raise ValueError(
            f"the page knows EDM's preconditioning and VE, found {preconditioning} and "
            f"{enhancer.sde}: extend book/_static/lab/samplers.mjs"
        )
    near = recipes.SAMPLER.grid
    return {
        "sigma_data": sigma_data,
        "sigma_range": list(enhancer.denoiser.sigma_range),
        "sde": {"sigma_min": enhancer.sde.sigma_min, "sigma_max": enhancer.sde.sigma_max},
        "spectrogram": asdict(enhancer.spectrogram),
        "reference_rms": REFERENCE_RMS,
        "near": {"sigmaMin": near.sigma_min, "sigmaMax": near.sigma_max, "rho": near.rho},
        "tEps": recipes.PREDICTOR_CORRECTOR.t_eps,
        "parameters": sum(each.numel() for each in enhancer.denoiser.network.parameters()),
    }


def _mp3(wave: torch.Tensor) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave.clamp(-1, 1).numpy(), SAMPLE_RATE, format="MP3")
    return file.getvalue()


def _clips(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the clips; return what the page says of each."""
    found = {
        clip.path.relative_to(clip.path.parents[1]).with_suffix("").as_posix(): clip
        for clip in se.Corpus.bundled()
        if clip.split.startswith("test")
    }
    by_stem = {clip.path.stem: clip for clip in found.values() if clip.kind == "noise"}
    speech, noises = [], []
    for name in SPEECH:
        clip = found[name]
        label = f"{VOICES[clip.label]}, {LANGUAGES[clip.language]}"
        known = {"label": label, "text": clip.text, "language": clip.language}
        speech.append(known | _entry(folder, f"speech-{len(speech)}", clip, clip.audio()))
    for stem, label in NOISES.items():
        clip = by_stem[stem]
        noises.append(
            {"label": label} | _entry(folder, f"noise-{len(noises)}", clip, _loudest(clip.audio()))
        )
    return speech, noises


def _loudest(wave: torch.Tensor) -> torch.Tensor:
    """Return the four seconds with the most power."""
    size = NOISE_SECONDS * SAMPLE_RATE
    if len(wave) <= size:
        return wave
    powers = wave.unfold(0, size, SAMPLE_RATE // 2).square().mean(dim=1)
    start = int(powers.argmax()) * (SAMPLE_RATE // 2)
    return wave[start : start + size]


def _entry(folder: Path, name: str, clip: se.Clip, wave: torch.Tensor) -> dict[str, Any]:
    data = _mp3(wave / wave.abs().max() * 0.7)
    (folder / f"{name}.mp3").write_bytes(data)
    return {
        "file": f"{name}.mp3", "bytes": len(data), "seconds": round(len(wave) / SAMPLE_RATE, 2),
        "seen": clip.split == "test", "author": clip.author, "licence": clip.licence,
    }  # fmt: skip


def _prepared(
    folder: Path, enhancer: se.Enhancer, index: int, voice: int, sound: int, snr: float
) -> dict[str, Any]:
    """Enhance a mixture with the library, for browsers that cannot; write it as three files."""
    clean, _ = soundfile.read(folder / f"speech-{voice}.mp3", dtype="float32")
    noise, _ = soundfile.read(folder / f"noise-{sound}.mp3", dtype="float32")
    clean, noise = torch.from_numpy(clean), torch.from_numpy(noise)
    noise = noise.repeat(-(-len(clean) // len(noise)))[: len(clean)]
    noisy = se.mix(clean, noise, snr)
    enhanced = enhancer(noisy, SAMPLE_RATE)
    files = {}
    waves = pages.match_loudness([noisy, enhanced, clean])
    for label, wave in zip(("noisy", "enhanced", "clean"), waves, strict=True):
        files[label] = f"prepared-{index}-{label}.mp3"
        (folder / files[label]).write_bytes(_mp3(wave))
    scores = {"before": si_sdr(clean, noisy), "after": si_sdr(clean, enhanced)}
    return {"speech": voice, "noise": sound, "snr": snr, **scores, **files}
