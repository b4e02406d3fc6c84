"""Shards: an epoch is shared out to the pair, from disk, http or a pipe, and damage is named."""

import functools
import io
import json
import tarfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import RECIPE, small_shards
from torch.testing import assert_close
from torch.utils.data import DataLoader

from edmse_lite import Spectrogram, checkpoints, runs, sources
from edmse_lite.batches import Draws
from edmse_lite.cli import main
from edmse_lite.corpora import Pair
from edmse_lite.feeds import PairBatches, Reading, ShardBatches, is_pairs, open_feed, valid_pairs
from edmse_lite.folders import PairFiles
from edmse_lite.parallel import Alone, Plan
from edmse_lite.shards import Shard, ShardError, deal, pack, shuffled
from edmse_lite.sources import Shards


def made(key: str, number: int, samples: int = 0) -> Pair:
    """Make a pair whose samples say which one it is, exact in 16 bits."""
    generator = torch.Generator().manual_seed(number)
    samples = samples or 1000 + 100 * number
    clean = torch.randint(-9_000, 9_000, (samples,), generator=generator) / 32_768
    noise = torch.randint(-900, 900, (samples,), generator=generator) / 32_768
    return Pair(key, clean, clean + noise, 5.0 + number, voice="p226", text="words")


pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core

PAIRS = [made(f"p226_{number:03}", number) for number in range(11)]
KEYS = {pair.key for pair in PAIRS}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    assert [shard.pairs for shard in pack(PAIRS, folder, 0.03)] == [3, 3, 3, 2]
    return folder


@pytest.fixture
def served(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[int]]]:
    """Serve the shards; a number in the list cuts the next answer after so many bytes."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    cuts: list[int] = []

    class Handler(SimpleHTTPRequestHandler):
        def copyfile(self, source, outputfile) -> None:
            cut = cuts.pop(0) if cuts and self.path.endswith(".tar") else -1
            outputfile.write(source.read(cut))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(packed))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", cuts
    server.shutdown()
    server.server_close()
    thread.join()


def one_epoch(shards: Shards, readers: int = 1, seed: int = 0, epoch: int = 0) -> Counter:
    keys: Counter = Counter()
    for reader in range(readers):
        for piece in shards.epoch(epoch, seed, reader, readers):
            keys.update(pair.key for pair in shards.pairs(piece))
    return keys


# Who reads what


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 12), st.integers(0, 5),
    st.integers(0, 5),
)  # fmt: skip
def test_an_epoch_is_shared_out_to_the_pair(
    counts: list[int], readers: int, epoch: int, seed: int
) -> None:
    seen: Counter = Counter()
    shares = []
    for reader in range(readers):
        pieces = deal(counts, epoch, seed, reader, readers)
        assert all(0 <= p.start < p.stop <= counts[p.shard] for p in pieces)
        seen.update((p.shard, i) for p in pieces for i in range(p.start, p.stop))
        shares.append(sum(p.stop - p.start for p in pieces))
    assert seen == Counter((s, i) for s, n in enumerate(counts) for i in range(n))
    assert max(shares) - min(shares) <= 1


def test_epochs_have_orders_of_their_own() -> None:
    orders = {tuple(p.shard for p in deal([5] * 8, e, s, 0, 1)) for e in range(3) for s in (0, 1)}
    assert len(orders) == 6
    assert deal([5] * 8, 3, 1, 2, 4) == deal([5] * 8, 3, 1, 2, 4)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_see_each_pair_once_an_epoch(
    packed: Path, ranks: int, workers: int
) -> None:
    """Real worker processes; two epochs of each rank."""
    each = max(workers, 1)
    readers = ranks * each
    epochs: list[Counter] = [Counter(), Counter()]
    for rank in range(ranks):
        reading = Reading(Shards.at(packed), rank, ranks, seed=3)
        stream = iter(DataLoader(reading, batch_size=None, num_workers=workers))
        keys = [key for key, _ in islice(stream, 2 * each * (11 // readers + 1))]
        for turn in range(each):  # the loader asks its workers in turn
            reader = rank * each + turn
            share = (reader + 1) * 11 // readers - reader * 11 // readers
            epochs[0].update(keys[turn::each][:share])
            epochs[1].update(keys[turn::each][share : 2 * share])
    assert epochs == [Counter(KEYS)] * 2


@given(st.integers(1, 11), st.integers(0, 60), st.integers(0, 3))
def test_a_reader_goes_on_from_any_place(readers: int, start: int, seed: int) -> None:
    """What is passed over is what would have come; nothing is opened for it."""
    shards = Shards("", tuple(Shard(f"{i}.tar", n) for i, n in enumerate((4, 3, 3, 1))))

    def pieces(self: Shards, piece) -> Iterator[tuple[int, int]]:
        return ((piece.shard, i) for i in range(piece.start, piece.stop))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shards, "items", pieces)
        whole = list(islice(shards.read(readers - 1, readers, seed), start + 20))
        later = list(islice(shards.read(readers - 1, readers, seed, start), 20))
    assert whole[start:] == later


def test_too_few_pairs_for_the_readers_are_told(packed: Path) -> None:
    with pytest.raises(ShardError, match="11 pairs are too few for 12 readers"):
        next(Shards.at(packed).read(0, 12))


# What is in a shard


def test_pairs_come_back_exactly_with_their_facts(packed: Path) -> None:
    found = {pair.key: pair for piece in Shards.at(packed).epoch(0) for pair in
             Shards.at(packed).pairs(piece)}  # fmt: skip
    for pair in PAIRS:
        back = found[pair.key]
        assert_close(back.clean, pair.clean, rtol=0, atol=0)
        assert_close(back.noisy, pair.noisy, rtol=0, atol=0)
        assert (back.snr, back.voice, back.text) == (pair.snr, "p226", "words")


def test_the_members_are_named_as_webdataset_has_it(packed: Path) -> None:
    with tarfile.open(packed / "pairs-000000.tar") as file:
        assert file.getnames()[:4] == [
            "p226_000.clean.flac", "p226_000.noisy.flac", "p226_000.json", "p226_001.clean.flac",
        ]  # fmt: skip


def test_the_same_pairs_make_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    pack(PAIRS, tmp_path, 0.03)
    for path in packed.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_shards_of_other_programs_are_read(tmp_path: Path) -> None:
    """No index, no JSON, wav at 48 kHz, a folder in the key."""
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for key in ("x/one", "x/two"):
            for side in ("clean", "noisy"):
                buffer = io.BytesIO()
                soundfile.write(buffer, np.full(4_800, 0.1), 48_000, format="WAV")
                info = tarfile.TarInfo(f"{key}.{side}.wav")
                info.size = buffer.tell()
                file.addfile(info, io.BytesIO(buffer.getvalue()))
    shards = Shards.at(tmp_path)
    assert one_epoch(shards) == Counter(["x/one", "x/two"])
    assert len(next(shards.read()).clean) == 1_600


def test_packing_refuses_what_would_lose_pairs(packed: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ShardError, match="shards.json: is there already"):
        pack(PAIRS, packed)
    with pytest.raises(ShardError, match="no pair came"):
        pack([], tmp_path / "none")
    with pytest.raises(ShardError, match="a_b: two pairs would have this name"):
        pack([made("a/b", 1), made("a_b", 2)], tmp_path / "twice")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(ShardError, match="No space left on device.; free some space"):
            pack(PAIRS, tmp_path / "full")
    assert not list((tmp_path / "full").iterdir())
    assert sum(shard.pairs for shard in pack(PAIRS, tmp_path / "full")) == 11


def test_shuffling_depends_on_the_seed_alone() -> None:
    assert sorted(shuffled(range(50))) == list(range(50))
    assert shuffled(range(50), 1) == shuffled(range(50), 1) != shuffled(range(50), 2)


# Where they lie


def test_http_with_cuts_reads_each_pair_once(served: tuple[str, list[int]]) -> None:
    where, cuts = served
    shards = Shards.at(where, pauses=(0.0,) * 4)
    cuts += [9_000, 15_000, 700, 0]
    assert one_epoch(shards) == Counter(KEYS)
    cuts += [700] * 6
    with pytest.raises(ShardError, match="pairs-00000.*cannot be read"):
        one_epoch(shards)


def test_what_is_not_there_is_named(served: tuple[str, list[int]], tmp_path: Path) -> None:
    where, _ = served
    with pytest.raises(ShardError, match="none/shards.json: no index can be read .*404"):
        Shards.at(f"{where}/none")
    gone = Shards(where, (Shard("gone.tar", 3),))
    with pytest.raises(ShardError, match="gone.tar: cannot be read .*404"):
        next(gone.read())
    with pytest.raises(ShardError, match="holds neither shards.json nor tar files"):
        Shards.at(tmp_path)
    (tmp_path / "shards.json").write_text('[{"name": "../a.tar", "pairs": 3}]')
    with pytest.raises(ShardError, match="names no shards, or files that are none"):
        Shards.at(tmp_path)
    with pytest.raises(ValueError, match="refuse or skip, not to 'drop'"):
        Shards.at(where, bad="drop")


def test_a_pipe_reads_what_a_command_prints(packed: Path, tmp_path: Path) -> None:
    assert one_epoch(Shards.at(f"pipe:cat {packed}/{{}}"), readers=3) == Counter(KEYS)
    with pytest.raises(ShardError, match="exit code 7. no such bucket"):
        Shards.at("pipe:echo no such bucket >&2; exit 7")
    gone = Shards("pipe:echo no such bucket >&2; exit 7", (Shard("gone.tar", 3),), pauses=())
    with pytest.raises(ShardError, match="exit code 7. no such bucket"):
        next(gone.read())


def test_s3_goes_through_the_aws_command(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "aws"
    program.write_text(f'#!/bin/sh\nexec cat "{packed}/$(basename "$4")"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert one_epoch(Shards.at("s3://bucket/train")) == Counter(KEYS)


# Damage


@pytest.fixture
def copied(packed: Path, tmp_path: Path) -> Path:
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_shard_that_is_cut_short_is_named_or_skipped(copied: Path) -> None:
    path = copied / "pairs-000001.tar"
    path.write_bytes(path.read_bytes()[:9_000])
    with pytest.raises(ShardError, match="pairs-000001.tar: cannot be read .*copy it again"):
        one_epoch(Shards.at(copied))
    told: list[str] = []
    seen = one_epoch(Shards.at(copied, "skip", told.append))
    assert 8 <= sum(seen.values()) <= 10 and max(seen.values()) == 1
    assert len(told) == 1 and "pairs-000001.tar" in told[0]


def test_a_shard_that_ends_between_pairs_is_found_out(copied: Path) -> None:
    index = json.loads((copied / "shards.json").read_text())
    index[2]["pairs"] += 1
    (copied / "shards.json").write_text(json.dumps(index))
    with pytest.raises(ShardError, match="pairs-000002.tar.*ends after 3 pairs, expected 4"):
        one_epoch(Shards.at(copied))


def test_damaged_sound_is_named_or_skipped(copied: Path) -> None:
    path = copied / "pairs-000003.tar"
    data = bytearray(path.read_bytes())
    data[512 + 400] ^= 1  # one bit of the first member's content
    path.write_bytes(data)
    with pytest.raises(ShardError, match="pairs-000003.tar: p226_009.clean is damaged"):
        one_epoch(Shards.at(copied))
    told: list[str] = []
    seen = one_epoch(Shards.at(copied, "skip", told.append))
    assert seen == Counter(KEYS - {"p226_009"}) and "p226_009.clean" in told[0]


def test_silence_in_a_shard_is_named_or_skipped(tmp_path: Path, capfd) -> None:
    silent = replace(made("p226_011", 11), clean=torch.zeros(2_100))
    pack([*PAIRS, silent], tmp_path)
    with pytest.raises(ShardError, match="pairs-000000.tar: p226_011.clean: is silent"):
        one_epoch(Shards.at(tmp_path))
    told: list[str] = []
    assert one_epoch(Shards.at(tmp_path, "skip", told.append)) == Counter(KEYS)
    assert len(told) == 1 and "p226_011.clean: is silent" in told[0]
    assert main(["corpus", "check", str(tmp_path)]) == 2
    out, err = capfd.readouterr()
    assert "pairs-000000.tar: p226_011.clean: is silent" in out and "1 bad files" in err


def test_shards_without_a_good_pair_come_to_an_end(copied: Path) -> None:
    for path in copied.glob("*.tar"):
        path.unlink()
    told: list[str] = []
    batches = ShardBatches(Shards.at(copied, "skip", told.append), 0.05, workers=0)
    with pytest.raises(ShardError, match="holds no good pair; `edmse corpus check` says why"):
        batches.batch(1, torch.Generator())
    assert batches.position == 11 and len(told) == 4  # each shard is named once


def test_an_error_in_a_worker_stays_one_line(copied: Path) -> None:
    (copied / "pairs-000003.tar").unlink()
    batches = ShardBatches(Shards.at(copied), 0.05, workers=1)
    with pytest.raises(ShardError) as caught:
        for _ in range(3):
            batches.batch(6, torch.Generator())
    assert "\n" not in str(caught.value) and "pairs-000003.tar" in str(caught.value)


# Batches


def is_crop_of(clean: torch.Tensor, noisy: torch.Tensor) -> str:
    """Key of the pair that a crop was cut from."""
    for pair in PAIRS:
        places = pair.clean.unfold(0, len(clean), 1)
        at = (places == clean).all(dim=1).nonzero()[:, 0].tolist()
        if any(torch.equal(pair.noisy[start : start + len(clean)], noisy) for start in at):
            return pair.key
    return ""


def test_batches_of_memory_are_crops_of_pairs_and_repeat() -> None:
    batches = PairBatches(iter(PAIRS), 0.05)
    clean, noisy = batches.batch(40, torch.Generator().manual_seed(1))
    assert clean.shape == noisy.shape == (40, 800)
    assert {is_crop_of(*both) for both in zip(clean, noisy, strict=True)} == KEYS
    batches.seek(0)
    again = batches.batch(40, torch.Generator().manual_seed(1))
    assert torch.equal(again[0], clean) and torch.equal(again[1], noisy)
    with pytest.raises(ValueError, match="no pair to train on"):
        PairBatches([])


def test_a_folder_of_pairs_has_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pair twice, the same order for any number of processes, and from any step."""
    source, config = PairBatches(PAIRS, 0.05, seed=4), replace(RECIPE.training, batch_size=6)
    device, spectrogram = torch.device("cpu"), Spectrogram()
    drawn: dict[int, list[str]] = {}
    waves = Draws._waves

    def noted(self: Draws, number: int, *rest: int):
        found = waves(self, number, *rest)
        drawn[number] = [is_crop_of(*both) for both in zip(*found[:2], strict=True)]
        return found

    def order(ranks: int, parts: int, steps: range) -> list[str]:
        drawn.clear()
        for rank in range(ranks):
            team = Alone()
            team.rank, team.size = rank, ranks
            draws = Draws(source, spectrogram, config, team, Plan(parts=parts), device)
            for step in steps:
                draws.of(step)
        return [key for number in sorted(drawn) for key in drawn[number]]

    monkeypatch.setattr(Draws, "_waves", noted)
    found = order(1, 1, range(4))
    assert set(found[:11]) == set(found[11:22]) == KEYS and found[:11] != found[11:22]
    assert order(1, 1, range(2, 4)) == found[12:]
    for ranks, parts in ((2, 1), (2, 2), (3, 6)):
        assert order(ranks, parts, range(4)) == found


def test_a_folder_is_read_without_all_of_it_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path, PAIRS)
    alive, most = weakref.WeakSet(), []
    read = PairFiles.read

    def watched(self: PairFiles) -> Pair:
        most.append(len(alive))
        pair = read(self)
        alive.add(Watched(pair))
        return pair

    class Watched:
        """Lives as long as the clean waveform of a pair."""

        def __init__(self, pair: Pair) -> None:
            pair.clean.watched = self

    monkeypatch.setattr(PairFiles, "read", watched)
    batches = open_feed(tmp_path, 0.05).batches
    assert len(most) == 11 and max(most) <= 1
    drawn = batches.batch(11, torch.Generator())
    assert {is_crop_of(*both) for both in zip(*drawn, strict=True)} == KEYS


def test_short_pairs_end_in_silence() -> None:
    clean, _ = PairBatches([made("a", 0, 500)], 0.05).batch(2, torch.Generator())
    assert clean[:, :500].abs().max() > 0 and not clean[:, 500:].any()


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_shards_resume_exactly(packed: Path, workers: int) -> None:
    def batch(source: ShardBatches, step: int) -> torch.Tensor:
        return torch.stack(source.batch(3, torch.Generator().manual_seed(step)))

    whole = ShardBatches(Shards.at(packed), 0.05, 1, 2, workers, seed=2)
    first = [batch(whole, step) for step in range(6)]
    later = ShardBatches(Shards.at(packed), 0.05, 1, 2, workers, seed=2)
    later.seek(9)
    assert all(torch.equal(batch(later, step), first[step]) for step in (3, 4, 5))
    assert all(is_crop_of(*both) for both in first[0].unbind(1))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [False, True])
def test_bad_samples_are_counted_so_that_a_resume_is_exact(
    copied: Path, workers: int, cut: bool
) -> None:
    """One is damaged, or a shard is cut short, and what follows the cut is passed over."""
    path = copied / "pairs-000001.tar"
    data = bytearray(path.read_bytes())
    data[512 + 400] ^= 1
    path.write_bytes(data[:5_000] if cut else data)

    def source() -> ShardBatches:
        return ShardBatches(Shards.at(copied, "skip"), 0.05, 1, 2, workers, seed=2)

    def batch(source: ShardBatches, step: int) -> torch.Tensor:
        return torch.stack(source.batch(3, torch.Generator().manual_seed(step)))

    whole, places, first = source(), [], []
    for step in range(6):
        places.append(whole.position)
        first.append(batch(whole, step))
    assert places[-1] > 15 and whole.skipped
    for step in range(6):
        later = source()
        later.seek(places[step])
        assert torch.equal(batch(later, step), first[step]), step


def test_a_place_tells_what_it_is(packed: Path, tmp_path: Path) -> None:
    assert isinstance(open_feed(packed, workers=0).batches, ShardBatches)
    for split in ("train", "valid"):
        write_pairs(tmp_path / split, PAIRS[:3])
    found = open_feed(tmp_path, 0.05)
    assert isinstance(found.batches, PairBatches) and len(found.valid) == 3
    assert found.name.startswith(tmp_path.name) and found.name == open_feed(tmp_path, 0.1).name
    assert is_pairs(packed) and is_pairs(tmp_path) and not is_pairs(tmp_path / "train" / "clean")
    clean, noisy = found.batches.batch(2, torch.Generator())
    assert all(is_crop_of(*both) for both in zip(clean, noisy, strict=True))
    valid = valid_pairs(tmp_path, 2, 0.1)
    assert [pair.key for pair in valid] == ["p226_000", "p226_001"]
    assert {pair.noisy.shape for pair in valid} == {(1_600,)}
    assert valid_pairs(packed) == ()
    assert sources.address("pipe:a {}", "b c.tar") == "pipe:a 'b c.tar'"


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_a_bad_pair_for_validation_is_named_or_skipped(
    packed: Path, tmp_path: Path, kind: str
) -> None:
    write_pairs(tmp_path / "valid", PAIRS[:4])
    soundfile.write(tmp_path / "valid" / "noisy" / "p226_001.wav", np.zeros(1_100), 16_000)
    (tmp_path / "valid" / "noisy" / "p226_002.wav").unlink()
    if kind == "folder":
        write_pairs(tmp_path / "train", PAIRS)
    else:
        for path in packed.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="p226_002 has no partner"):
        open_feed(tmp_path, workers=0)
    found = open_feed(tmp_path, workers=0, bad="skip")
    assert [pair.key for pair in found.valid] == ["p226_000", "p226_003"]
    assert len(found.skipped) == 2 and "p226_002 has no partner" in found.skipped[0]
    assert "p226_001.wav: is silent" in found.skipped[1]
    (tmp_path / "valid" / "noisy" / "p226_000.wav").write_text("no sound")
    (tmp_path / "valid" / "noisy" / "p226_003.wav").write_text("no sound")
    with pytest.raises(ValueError, match="valid: holds no good pair"):
        open_feed(tmp_path, workers=0, bad="skip")


def write_pairs(folder: Path, pairs: list[Pair]) -> None:
    for pair in pairs:
        for side in ("clean", "noisy"):
            path = folder / side / f"{pair.key}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, getattr(pair, side).numpy(), 16_000, "PCM_16")


def run_of(place: Path, folder: Path, steps: int) -> runs.Trainer:
    recipe = replace(RECIPE, training=replace(RECIPE.training, batch_size=2, steps=6))
    made = runs.start(recipe, folder, corpus=place, bad_audio="skip")
    made.resume()
    for progress in made.run():
        if progress.step == steps:
            break  # as after a kill: what is not in the folder is gone
    return made


@pytest.mark.parametrize("kind", ["shards", "bad shards", "folder"])
def test_training_reads_pairs_and_resumes_exactly(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(runs, "evaluation_set", lambda *_: ())
    place = packed
    if kind == "folder":
        place = tmp_path / "pairs"
        write_pairs(place / "train", PAIRS)
    if kind == "bad shards":
        place = tmp_path / "shards"
        small_shards(place, ("p01", "p04", "p06", "p09", "p10"))
    whole = run_of(place, tmp_path / "whole", 6)
    run_of(place, tmp_path / "broken", 3)
    later = run_of(place, tmp_path / "broken", 6)
    assert later.step == 6
    for name, weight in whole.average.state_dict().items():
        assert torch.equal(later.average.state_dict()[name], weight), name
    assert whole.record()["corpus"].startswith(place.name)
    skipped = [checkpoints.load(tmp_path / name).record["skipped"] for name in ("whole", "broken")]
    assert skipped[0] == skipped[1] and bool(skipped[0]) == (kind == "bad shards")


def test_training_on_missing_pairs_is_one_error(tmp_path: Path, capfd) -> None:
    (tmp_path / "shards.json").write_text("[]")
    words = ["train", "compact", "--out", str(tmp_path / "run"), "--corpus", str(tmp_path)]
    assert main([*words, "--device", "cpu"]) == 2
    assert "names no shards" in capfd.readouterr().err


def test_the_command_packs_a_folder(tmp_path: Path, capfd) -> None:
    for number in range(3):
        for side in ("clean", "noisy"):
            path = tmp_path / "in" / side / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, getattr(PAIRS[number], side).numpy(), 16_000, "PCM_16")
    soundfile.write(tmp_path / "in" / "clean" / "1.wav", np.zeros(1_100), 16_000)
    words = ["corpus", "pack", str(tmp_path / "in"), str(tmp_path / "out")]
    assert main(words) == 2
    assert "1.wav: is silent" in capfd.readouterr().err
    assert main([*words, "--bad", "skip"]) == 0
    out, err = capfd.readouterr()
    assert "2 pairs in 1 shard" in out and "1.wav: is silent" in err
    assert one_epoch(Shards.at(tmp_path / "out")) == Counter(["0", "2"])
    assert main(words) == 2
    assert "is there already" in capfd.readouterr().err
