"""A file that broke off is told from a whole one: every kind, and MP3 at every byte."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edmse_lite.audio import AudioError, reading
from edmse_lite.endings import CHECKED
from tests.tiny import band_limited

MP3_RATES = (48_000, 44_100, 22_050, 16_000, 11_025, 8_000)  # MPEG 1, 2 and 2.5
TAGS = {"before": b"ID3\4\0\0\0\0\x10\0" + bytes(2048), "after": b"TAG" + bytes(125)}


def length(path: Path) -> int:
    """How many samples are read from a file."""
    with reading(path) as reader:
        return sum(block.shape[1] for block in reader.blocks())


READ_ONLY = {("AIFF", f"DWVW_{bits}") for bits in (12, 16, 24)} | {
    ("MP3", "MPEG_LAYER_I"),
    ("MP3", "MPEG_LAYER_II"),
    ("WAV", "MPEG_LAYER_III"),
}
"""Kinds that libsndfile says it can write, and cannot or not so that it reads them again."""
KINDS = [
    (name, subtype)
    for name in sorted(CHECKED & set(soundfile.available_formats()))
    for subtype in soundfile.available_subtypes(name)
    if soundfile.check_format(name, subtype) and (name, subtype) not in READ_ONLY
]


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_a_file_that_broke_off_is_refused(name: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"voice.{name.lower()}"
    rate = 8_000 if subtype in ("G721_32", "G723_24", "G723_40") else 16_000
    soundfile.write(path, band_limited(40_000, rate).numpy(), rate, subtype, format=name)
    data = path.read_bytes()
    assert 40_000 <= length(path) < 42_000
    for share in (0.3, 0.6, 0.97):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(AudioError, match=r"voice\.\w+: is (cut short|not audio)"):
            length(path)


def stream(path: Path, rate: int, seconds: int = 2, **kind: object) -> bytes:
    """Return an MP3 as a radio station sends it: no first frame with the number of samples."""
    soundfile.write(path, band_limited(seconds * rate, rate).numpy(), rate, **kind)
    data = path.read_bytes()
    first = data.index(data[:2], 2)
    assert b"Xing" in data[:first] or b"Info" in data[:first]
    return data[first:]


STEADY = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}


@pytest.mark.parametrize("rate", MP3_RATES)
def test_an_mp3_stream_is_followed_to_its_last_byte(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "voice.mp3"
    data = stream(path, rate, **STEADY)
    whole = []
    for end in range(len(data) - 600, len(data) + 1):
        path.write_bytes(data[:end])
        try:
            whole.append((end, length(path)))
        except AudioError as error:
            assert "is cut short" in str(error)
    ends = np.cumsum(frame_lengths(data))  # cut there, nobody can tell
    assert [end for end, _ in whole] == [end for end in ends if end >= len(data) - 600]
    frame = 1152 if rate > 24_000 else 576  # samples
    assert all(samples == frame * (1 + list(ends).index(end)) for end, samples in whole)


@pytest.mark.parametrize("rate", MP3_RATES)
@pytest.mark.parametrize("tag", TAGS)
def test_an_mp3_stream_with_a_tag_is_read_whole(rate: int, tag: str, tmp_path: Path) -> None:
    path = tmp_path / "voice.mp3"
    data = stream(path, rate, seconds=20, **STEADY)
    path.write_bytes(TAGS[tag] + data if tag == "before" else data + TAGS[tag])
    assert length(path) == (1152 if rate > 24_000 else 576) * len(frame_lengths(data))


@pytest.mark.parametrize("rate", MP3_RATES)
def test_an_mp3_stream_of_unknown_length_is_refused(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "voice.mp3"
    path.write_bytes(stream(path, rate))
    with pytest.raises(AudioError, match="its bit rate varies .* ffmpeg -i voice.mp3 -c copy"):
        length(path)


def frame_lengths(stream: bytes) -> list[int]:
    """Lengths of the frames of an MP3 stream, found by their equal beginnings alone."""
    starts = [at for at in range(len(stream)) if stream[at : at + 2] == stream[:2]]
    return list(np.diff([*starts, len(stream)]))


@pytest.mark.parametrize("declared", [0, 0xFFFF_FFFF, 0x7FFF_F000 + 36])
def test_a_wav_that_was_written_into_a_pipe_is_whole(declared: int, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    soundfile.write(path, band_limited(4_000, 16_000).numpy(), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = declared.to_bytes(4, "little")
    data[4:8] = declared.to_bytes(4, "little")
    path.write_bytes(data)
    if declared:
        assert length(path) == 4_000
    else:
        with pytest.raises(AudioError, match="holds no samples"):
            length(path)
