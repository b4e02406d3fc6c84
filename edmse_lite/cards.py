"""The model card: what a checkpoint is, how it was made, how good it is, and where it stops.

It is written from the checkpoint's own record and from the rows of its evaluation; no number in
it is typed by hand.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import checkpoints, limits, records
from .compact import RECIPES
from .confirmation import check_weights
from .evaluation import FAST, OURS, RESULTS, SETS, Results
from .files import write_bytes
from .studies import Row, read
from .systems import BASELINES, HASH_DIGITS, name_of
from .tables import Table, cell, difference, differences_table, mean, means_table, shared, where

SHOWN = ("pesq", "si_sdr", "estoi", "dnsmos_ovrl")
OTHERS = [system.name for system in BASELINES]

TITLES = {
    "command": "Command", "config": "Settings", "mixing": "Mixtures", "steps": "Steps",
    "hours": "Hours of training", "audio_hours": "Hours of mixtures seen",
    "hardware": "Hardware", "torch": "PyTorch", "sha256": "SHA-256 of its weights",
}  # fmt: skip
"""What the card calls the fields of a record, in its order."""


def model_card(checkpoint: str | Path, results: Results) -> str:
    """Model card in Markdown.

    Args:
        checkpoint: name or folder.
        results: the standard evaluation of these weights.

    Raises:
        Disagreement: the results are those of other weights.
        CheckpointError: no such checkpoint, or a damaged one.

    Chapter: 10.
    """
    check_weights(results, checkpoint)
    found = checkpoints.load(checkpoint)
    scores = _scores(results)
    earlier = {
        record["sha256"][:HASH_DIGITS]: f"stage {number}"
        for number, record in enumerate(records.stages(found.record)[:-1], 1)
    }
    rows = [
        replace(r, system=earlier[r.checkpoint]) for r in stage_rows() if r.checkpoint in earlier
    ]
    if rows:
        scores += f"\n\n{_gains(results, rows)}"
    return _page(
        found, found.folder.name, "edmse evaluate --standard", limits.PURPOSE, scores, clean=True
    )


def stage_rows() -> list[Row]:
    """Rows of the earlier stages of the shipped model, by the default sampler; none if missing.

    What made them: ``records.provenance`` with the record of ``Results.load("stages")``.

    Chapter: 10.
    """
    path = RESULTS / "stages.csv"
    return read(path) if path.is_file() else []


def _gains(results: Results, earlier: list[Row]) -> str:
    """What training on was worth, on the same clips with the same sampler."""
    ours = [r for r in results.rows if r.system == OURS and r.evaluation_set in SETS]
    every = [row for row in (*ours, *earlier) if row.seed == 0]
    table = differences_table(every, OURS, list(dict.fromkeys(r.system for r in earlier)), SHOWN)
    return (
        "### What the stages were worth\n\nThe last stage minus earlier ones, on the same clips "
        "and by the same sampler, the default; a star: the interval excludes zero. Their rows: "
        f"`python scripts/stages.py`.\n\n{table.markdown()}"
    )


def stage_card(name: str) -> str:
    """Model card of an earlier stage that comes with the package, in Markdown.

    Args:
        name: of the checkpoint.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.

    Chapter: 10.
    """
    found = checkpoints.load(name)
    rows = where(stage_rows(), checkpoint=found.sha256[:HASH_DIGITS])
    scores = ["Mean and 95 % interval, a bootstrap over noise recordings; the default sampler."]
    for chosen in SETS:
        scores += _set_scores(where(rows, evaluation_set=chosen), chosen)
    return _page(
        found, name, "python scripts/stages.py", limits.EARLIER_PURPOSE, "\n\n".join(scores)
    )


def _page(
    found: checkpoints.Checkpoint,
    title: str,
    command: str,
    purpose: str,
    scores: str,
    clean: bool = False,
) -> str:
    config = json.loads((found.folder / checkpoints.CONFIG).read_text(encoding="utf-8"))
    parts = [
        f"# Model card: {title}",
        f"This page was written by `{command}`.",
        "## What it is for", purpose,
        "## What it is", _description(config).markdown(),
        "## How it was trained", _training(config.get("training", {})),
        "## How good it is", scores,
        "## Where it stops", limits.stops(config, clean),
        "## Licence", limits.LICENCE,
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


def study_card(name: str, results: Results) -> str:
    """Model card of a model of the study, in Markdown.

    Args:
        name: of the design, such as ``edm-cosine``.
        results: of the study.

    Raises:
        CheckpointError: no such model, or a damaged one.

    Chapter: 10.
    """
    found = checkpoints.load(f"study/{name}")
    rows = where(results.rows, checkpoint=found.sha256[:HASH_DIGITS])
    scores = ["Mean and 95 % interval, a bootstrap over noise recordings."]
    for chosen in SETS:
        some = where(rows, evaluation_set=chosen)
        scores += _set_scores(some, chosen) if some else []
    command = "python scripts/study.py ship"
    return _page(found, f"study/{name}", command, limits.STUDY_PURPOSE, "\n\n".join(scores))


def _set_scores(rows: list[Row], name: str) -> list[str]:
    title = f"### {name} ({len({row.key for row in rows})} pairs)"
    return [title, means_table(rows, SHOWN).markdown()]


def write_card(checkpoint: str | Path, results: str | Path) -> Path:
    """Write the card as ``README.md`` into the checkpoint's folder; `results` is a folder.

    Raises:
        Disagreement: the results are those of other weights.
        OSError: the folder cannot be written.

    Chapter: 10.
    """
    folder = checkpoints.find(checkpoint)
    path = folder / "README.md"
    text = model_card(checkpoint, Results.load(folder.name, results))
    write_bytes(path, text.encode())
    return path


def _description(config: dict[str, Any]) -> Table:
    weights, network = config["weights"], config["network"]
    rows = [
        ["Network", f"U-Net, {weights['parameters']:,} parameters, channels "
         + " ".join(map(str, network["channels"]))],
        ["Weights", f"`{weights['file']}`, {weights['dtype']}, computed in float32"],
        ["SHA-256", f"`{weights['sha256']}`"],
        ["Schedule", _settings(config["sde"])],
        ["Preconditioning", _settings(config["preconditioning"])],
        ["Noise levels", " … ".join(f"{level:g}" for level in config["sigma_range"] or ())],
        ["Spectrogram", _settings(config["spectrogram"])],
        ["Sample rate", f"{config['sample_rate']} Hz"],
        ["Level", f"input is brought to a root mean square of {config['reference_rms']:g}"],
    ]  # fmt: skip
    return Table(["What", "Value"], rows)


def _settings(fields: dict[str, Any]) -> str:
    named = {key: value for key, value in fields.items() if key != "name"}
    first = [str(fields["name"])] if "name" in fields else []
    return ", ".join([*first, *(f"{key} {value}" for key, value in named.items())])


def _training(record: records.Record) -> str:
    data = (
        "Speech and noise of the bundled corpus, split *train*: 75 minutes of prompts, 29 minutes "
        "of field recordings, mixed on the fly. `edmse_lite/corpus/README.md` describes them."
    )
    every = records.stages(record)
    if len(every) == 1:
        return f"{data}\n\n{_stage(record)}"
    sums = [
        f"{'unknown' if value is None else format(value, ',')} {TITLES[key].lower()}"
        for key, value in records.total(record).items()
    ]
    head = f"In {len(every)} stages, each from the weights of the one before. In all: "
    name = re.search(r"edmse train (\S+)", record.get("command", ""))
    chain = name and name[1] in RECIPES
    again = f" One command for all: `edmse train {name[1]} --chain`." if chain else ""
    parts = [data, f"{head}{', '.join(sums)}.{again}"]
    for number, stage in enumerate(every, 1):
        changed = [_changed(stage, every[number - 2])] if number > 1 else []
        parts += [f"### Stage {number}", *changed, _stage(stage)]
    return "\n\n".join(parts)


def _changed(stage: records.Record, before: records.Record) -> str:
    found = records.changes(stage, before).items()
    said = [f"{name} {_value(was)} → {_value(now)}" for name, (was, now) in found]
    return f"What changed: {', '.join(said) or 'the weights that it began from, alone'}."


def _value(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:g}".replace("-", "−")
    return "none" if value is None else str(value)


def _stage(record: records.Record) -> str:
    rows, order = [], [*TITLES, *record]
    for key, value in sorted(record.items(), key=lambda item: order.index(item[0])):
        shown = _settings(value) if isinstance(value, dict) else str(value)
        shown = f"`{shown}`" if key in ("command", "sha256") else shown
        rows.append([TITLES.get(key, key.replace("_", " ").capitalize()), shown])
    return Table(["What", "Value"], rows).markdown()


def _scores(results: Results) -> str:
    record, rows = results.record, results.rows
    parts = [
        "Mean and 95 % interval, a bootstrap over noise recordings. Sets are {seen, unseen voice} "
        "× {seen, unseen types of noise}, mixture SNR 0, 5 and 10 dB, clips of 4 s. "
        f"Made by `{record['command']}` in {record['minutes']:.0f} minutes on "
        f"{record['hardware']}, {record['workers']} processes."
    ]
    for name in SETS:
        parts += _set_scores(where(rows, evaluation_set=name), name)
    parts.append("### Differences, paired clip by clip; a star: the interval excludes zero")
    for ours in (OURS, name_of(FAST)):
        some = [row for row in rows if row.evaluation_set in SETS]
        parts.append(differences_table(some, ours, OTHERS, SHOWN).markdown())
    parts += ["### Clean input", CLEAN_INTERVALS, clean_input_table(rows).markdown()]
    return "\n\n".join(parts)


CLEAN_INTERVALS = "No recording of noise is in clean input: there the bootstrap is over clips."


def clean_input_table(rows: list[Row]) -> Table:
    """PESQ of nearly clean and of clean input, and what enhancement makes of it.

    Chapter: 1 A noisy recording, enhanced.
    """
    body = []
    for name, title in (("clean-20dB", "mixture SNR 20 dB"), ("clean", "clean")):
        some = shared(where(rows, evaluation_set=name, seed=0), "pesq")
        found = [mean(where(some, system=system), "pesq") for system in ("Noisy", OURS)]
        change = difference(some, OURS, "Noisy", "pesq")
        body.append([title, str(found[0].n), *map(cell, found), cell(change, sign=True)])
    return Table(["Input", "Clips", "PESQ of the input", f"PESQ of {OURS}", "Difference"], body)
