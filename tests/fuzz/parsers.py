"""Everything in sirend that reads what others wrote, each with input that is nearly right and the promise it keeps.

A promise is: the value that was asked for, or the one kind of error that is foreseen; nothing else is ever raised.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from hypothesis import strategies as st
from tests.detect.manifests import BACKBONE, HEAD
from tests.detect.manifests import MANIFEST as _KNOWN
from tests.fuzz.attack import LONGEST_MESSAGE, Parser, is_readable
from tests.fuzz.inputs import edited_json, nested_json, spliced, yaml_of_keys
from tests.fuzz.messages import BROKER, MESSAGE, NOW, STATEMENT, STATEMENTS, event

from sirend.audio.recording import WavFile
from sirend.audio.stream import Samples, to_samples
from sirend.call.event import to_json
from sirend.client import Keyring
from sirend.config import load as config
from sirend.config.secrets import secret
from sirend.detect import bundle
from sirend.detect import manifest as manifests
from sirend.detect.features import FeatureSpec
from sirend.errors import ConfigError, InputError
from sirend.publish import journal_reader as history
from sirend.publish.journal import Journal
from sirend.training.corpus import COLUMNS, read_clips

ROOT = Path(__file__).parents[2]
MODEL = bundle.find(None)
LONGEST_S = 600.0
"""What becomes of the few seconds in a recording, however its header was changed, is shorter than this."""


# Configuration


def _configuration(data: bytes, folder: Path) -> None:
    file = folder / "sirend.yaml"
    file.write_bytes(data)
    try:
        loaded = config.load(file)
    except ConfigError as error:
        for problem in error.problems:
            assert 0 < len(problem) < LONGEST_MESSAGE, problem[:200]
            assert "\n" not in problem
    else:
        assert loaded.approaches
        assert 0.0 < loaded.detect.hop_s <= 2.0
        for section in dataclasses.fields(loaded):
            value = getattr(loaded, section.name)
            numbers = dataclasses.astuple(value) if dataclasses.is_dataclass(value) else ()  # type: ignore[arg-type]
            assert all(math.isfinite(each) for each in numbers if isinstance(each, int | float))


def _keys() -> dict[str, list[str]]:
    documented = yaml.safe_load((ROOT / "conf" / "sirend.yaml").read_text())
    keys = {name: list(section) if isinstance(section, dict) else [] for name, section in documented.items()}
    return {
        **keys,
        "approaches": ["name", "channel", "bearing_deg", "priority"],
        "listen": ["rehearsal", "ack", "command", "command_timeout_s", "relays", "ntcip"],
        "nonsense": ["x"],
    }


CONFIGURATION = Parser(
    "configuration",
    st.one_of(
        yaml_of_keys(_keys()),
        spliced(st.just((ROOT / "conf" / "sirend.yaml").read_bytes()), head=6_000),
        st.text("abc:-?[]{}&*!|>'\"%@`#,0._~<= \n\t", max_size=60).map(str.encode),
        st.binary(max_size=200),
    ),
    _configuration,
)


def _secrets(data: bytes, folder: Path) -> None:
    file = folder / "secret"
    file.write_bytes(data)
    for read in (secret, Keyring.read):
        with suppress(ConfigError):
            assert read(file)


SECRETS = Parser(
    "secrets", st.one_of(st.binary(max_size=100), st.lists(st.binary(max_size=9)).map(b"\n".join)), _secrets
)


# Recordings


def _recordings() -> list[bytes]:
    """Return short recordings in every container and coding that people send."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((1_600, 2))
    made = []
    for container, coding, rate, channels in (
        ("WAV", "PCM_16", 16_000, 1),
        ("WAV", "FLOAT", 44_100, 2),
        ("WAV", "IMA_ADPCM", 8_000, 1),
        ("WAV", "ULAW", 8_000, 1),
        ("WAVEX", "PCM_24", 48_000, 2),
        ("RF64", "PCM_16", 16_000, 1),
        ("W64", "PCM_16", 16_000, 2),
        ("FLAC", "PCM_16", 16_000, 1),
        ("FLAC", "PCM_24", 48_000, 2),
        ("OGG", "VORBIS", 16_000, 1),
        ("OGG", "OPUS", 16_000, 1),
        ("MP3", "MPEG_LAYER_III", 16_000, 1),
        ("AIFF", "PCM_16", 22_050, 1),
        ("AU", "FLOAT", 16_000, 1),
        ("CAF", "ALAC_16", 16_000, 1),
    ):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise[:, :channels], rate, subtype=coding, format=container)
        made.append(buffer.getvalue())
    return made


def _recording(data: bytes, folder: Path) -> None:
    file = folder / "recording"
    file.write_bytes(data)
    expected = Samples(0)
    try:
        with WavFile(file, mono=len(data) % 2 == 0) as source:
            assert math.isfinite(source.duration_s)
            for block in source:
                assert block.start == expected
                assert block.pcm.shape[1] == source.channels
                assert np.isfinite(block.pcm).all()
                assert np.abs(block.pcm).max(initial=0.0) <= 1.0
                expected = Samples(expected + len(block.pcm))
                assert expected < to_samples(LONGEST_S)
    except InputError as error:
        is_readable(error)
    else:
        assert expected >= to_samples(2.0)


RECORDING = Parser(
    "recording",
    st.one_of(spliced(st.sampled_from(_recordings()), head=128), st.binary(max_size=200)),
    _recording,
)


# Model bundle


def _digested(manifest: dict[str, Any]) -> None:
    """Give an edited manifest the digest that belongs to its features, where they can have one."""
    with suppress(TypeError, KeyError):
        manifest["features_digest"] = FeatureSpec(**manifest["features"]).digest


def _manifest(data: bytes, folder: Path) -> None:
    """Hold what a bundle says to what the code relies on that runs it; there need be no network."""
    (folder / bundle.MODEL_FILE).write_bytes(HEAD)
    (folder / "backbone.tflite").write_bytes(BACKBONE)
    (folder / "golden.npz").touch()
    (folder / bundle.MANIFEST_FILE).write_bytes(data)
    try:
        loaded = bundle.load(folder)
    except ConfigError as error:
        for problem in error.problems:
            assert 0 < len(problem) < LONGEST_MESSAGE, problem[:200]
        return
    numbers = [*dataclasses.astuple(loaded.calibration), loaded.hop_s]
    for point in (loaded.operating, loaded.strict):
        numbers += dataclasses.astuple(point)
        assert 0.0 < point.exit < point.enter < 1.0
    assert all(math.isfinite(float(number)) for number in numbers)
    assert loaded.feature_spec.frames > 0
    assert len(loaded.identity) == 64
    patches, head = loaded.streaming.patches, loaded.streaming.head
    assert round(patches.step_s * 16_000) % loaded.feature_spec.step_samples == 0
    assert head.spacing_s / patches.step_s == round(head.spacing_s / patches.step_s) >= 1
    assert 0 < head.inputs <= patches.outputs
    assert 0 < head.places * head.spacing_s <= manifests.LONGEST_S


_MANIFEST = _KNOWN | {"golden": "golden.npz"}
MANIFEST = Parser(
    "manifest",
    st.one_of(
        edited_json(_MANIFEST),
        edited_json(_MANIFEST, _digested),
        nested_json(_MANIFEST),
        spliced(st.just(json.dumps(_MANIFEST).encode()), head=900),
        st.binary(max_size=100),
    ),
    _manifest,
)


def _network(data: bytes, folder: Path) -> None:
    shutil.copy(MODEL / bundle.MANIFEST_FILE, folder)
    for name in ("golden.npz", "backbone.tflite"):
        if not (folder / name).exists():
            (folder / name).symlink_to(MODEL / name)
    (folder / bundle.MODEL_FILE).write_bytes(data)
    try:
        loaded = bundle.load(folder)
    except ConfigError as error:
        is_readable(error)
    else:
        assert loaded.model_bytes == (MODEL / bundle.MODEL_FILE).read_bytes()


NETWORK = Parser("network", spliced(st.just((MODEL / bundle.MODEL_FILE).read_bytes()), head=1_000_000), _network)


# Journal


def _journal(data: bytes, folder: Path) -> None:
    """What is there is read, what is torn is named, and the next event is whole whatever stood before it."""
    file = folder / "events.jsonl"
    file.write_bytes(data)
    wanted = history.Wanted(since=NOW - timedelta(days=1), approach="main", type="approaching")
    torn: list[str] = []
    for read in history.read_events(file, torn):
        wanted.includes(read)
        assert "\n" not in history.event_line(read)
        history.write_csv([read], io.StringIO())
    said = event()
    with Journal(file, 16_000_000) as journal:
        journal.publish(said)
    assert journal.failures == 0
    assert list(history.read_events(file, []))[-1] == json.loads(to_json(said))


_LINES = st.one_of(STATEMENTS, st.just(to_json(event()).encode()), st.just(b""))
JOURNAL = Parser(
    "journal",
    st.one_of(st.lists(_LINES, max_size=4).map(b"\n".join), spliced(st.just(to_json(event()).encode() + b"\n"))),
    _journal,
)


# Training's table

_TABLE = ",".join(COLUMNS) + "\na.wav,s,emergency,wail,g,CC0,1.0\nb.wav,s,other,dog,,CC0,2\n"


def _clips(data: bytes, folder: Path) -> None:
    file = folder / "clips.csv"
    file.write_bytes(data)
    try:
        clips = read_clips(file)
    except InputError as error:
        is_readable(error)
    else:
        assert all(isinstance(clip.path, str) and isinstance(clip.seconds, float) for clip in clips)


CLIPS = Parser("clips", st.one_of(spliced(st.just(_TABLE.encode()), head=200), st.binary(max_size=100)), _clips)

PARSERS = (CONFIGURATION, SECRETS, RECORDING, MANIFEST, NETWORK, STATEMENT, MESSAGE, BROKER, JOURNAL, CLIPS)
