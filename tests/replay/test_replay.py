from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from tests.bundles import MODEL

from sirend.config.settings import Approach, ArbitrationConfig, AudioConfig, Config, Inhibit
from sirend.detect.features import log_mel
from sirend.errors import InputError, UsageError
from sirend.replay.replay import Replay, Wishes

if TYPE_CHECKING:
    from typing import Any

    from sirend.detect.features import Spectrogram

Pcm = npt.NDArray[np.float32]
TWO = Config(
    audio=AudioConfig(channels=2),
    approaches=(Approach("north", 1), Approach("south", 0)),
    arbitration=ArbitrationConfig(mode="parallel"),
)


class LoudIsSiren:
    """A classifier that takes every loud sound for a siren: the features of digital silence are all the same."""

    def score(self, spectrogram: Spectrogram) -> npt.NDArray[np.float32]:
        heard = log_mel(spectrogram.spec, spectrogram.mel[:, -spectrogram.spec.frames :])
        loudness = heard.max(axis=(1, 2)) + 0.01 * heard.mean(axis=(1, 2))
        return np.where(loudness > np.log(0.01), 0.9 + 0.01 * np.tanh(loudness), 0.01).astype(np.float32)


def write(path: Path, *loud: tuple[float, float], seconds: float = 20.0, rate_hz: int = 16_000) -> Path:
    """Write silence with noise within spans of seconds, one channel a span."""
    pcm = np.zeros((round(seconds * rate_hz), max(1, len(loud))), dtype=np.float32)
    rng = np.random.default_rng(5)
    for channel, (start_s, end_s) in enumerate(loud):
        part = pcm[round(start_s * rate_hz) : round(end_s * rate_hz), channel]
        part += 0.2 * rng.standard_normal(part.shape).astype(np.float32)
    soundfile.write(path, pcm, rate_hz, subtype="FLOAT")
    return path


def replay(config: Config | None = None, sign_key: bytes | None = None, **wishes: Any) -> Replay:  # noqa: ANN401
    return Replay(config or Config(), MODEL, LoudIsSiren(), Wishes(**wishes), sign_key)


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_go_to_the_standard_output_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(write(tmp_path / "a.wav", (4.0, 9.0)))
    replay().run([name])
    events = events_in(capsys.readouterr().out)
    assert [(event["type"], event["reason"]) for event in events] == [
        ("emergency_approaching", "siren"),
        ("emergency_cleared", "quiet"),
    ]
    assert {(event["source"], event["boot_id"], event["mode"], event["model"]) for event in events} == {
        (name, "replay", "replay", "siren-9.9.9@0123456789ab")
    }
    assert events[0]["at"] < "1970-01-01T00:00:06"


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_the_block_size_changes_no_byte(tmp_path: Path, rate_hz: int) -> None:
    name = str(write(tmp_path / "a.wav", (4.0, 9.0), rate_hz=rate_hz))
    results = []
    for block_s in (1.0, 1.0, 0.013, 7.7):
        replay(events=tmp_path / "e", scores=tmp_path / "s", block_s=block_s).run([name])
        results.append(((tmp_path / "e").read_bytes(), (tmp_path / "s").read_bytes()))
    assert len(results[0][0].splitlines()) == 2
    assert len(results[0][1].splitlines()) == 1 + 1 + (20 - 2) * 4
    assert results[1:] == results[:1] * 3


def test_each_file_starts_afresh_and_the_numbering_goes_on(tmp_path: Path) -> None:
    first = write(tmp_path / "a.wav", (6.0, 10.0), seconds=10.0)
    second = write(tmp_path / "b.wav", (0.0, 5.0))
    replay(events=tmp_path / "e", scores=tmp_path / "s").run([str(first), str(second)])
    events = events_in((tmp_path / "e").read_text())
    assert [(Path(event["source"]).name, event["state"], event["reason"]) for event in events] == [
        ("a.wav", "approaching", "siren"),
        ("a.wav", "clear", "input_lost"),
        ("b.wav", "approaching", "siren"),
        ("b.wav", "clear", "quiet"),
    ]
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    rows = [line.split(",") for line in (tmp_path / "s").read_text().splitlines()[1:]]
    assert next(row[2] for row in rows if row[0] == str(second)) == "2.000"


def test_times_count_from_the_start_that_is_given(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a.wav", (4.0, 9.0)))
    replay(events=tmp_path / "e").run([name])
    replay(events=tmp_path / "f", start=datetime(2026, 11, 22, 21, 0, tzinfo=UTC)).run([name])
    counted = [event["at"] for event in events_in((tmp_path / "e").read_text())]
    given = [event["at"] for event in events_in((tmp_path / "f").read_text())]
    assert [at.replace("1970-01-01T00:", "2026-11-22T21:") for at in counted] == given


def test_events_are_signed_when_there_is_a_key(tmp_path: Path) -> None:
    replay(sign_key=b"a secret, 16 long", events=tmp_path / "e").run([str(write(tmp_path / "a.wav", (4.0, 9.0)))])
    assert {len(event["sig"]) for event in events_in((tmp_path / "e").read_text())} == {64}


def test_one_microphone_hears_the_average_of_all_channels(tmp_path: Path) -> None:
    replay(events=tmp_path / "e").run([str(write(tmp_path / "a.wav", (90.0, 90.0), (90.0, 90.0), (4.0, 9.0)))])
    assert [event["state"] for event in events_in((tmp_path / "e").read_text())] == ["approaching", "clear"]


def test_approaches_hear_their_own_channels(tmp_path: Path) -> None:
    replay(TWO, events=tmp_path / "e", scores=tmp_path / "s").run(
        [str(write(tmp_path / "a.wav", (3.0, 6.0), (9.0, 12.0)))]
    )
    events = events_in((tmp_path / "e").read_text())
    assert [(event["approach"], event["state"]) for event in events if event["reason"] == "siren"] == [
        ("south", "approaching"),
        ("north", "approaching"),
    ]
    assert [line.split(",")[1] for line in (tmp_path / "s").read_text().splitlines()[1:3]] == ["north", "south"]


def test_a_file_without_an_approachs_channel_is_refused(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a.wav", (3.0, 6.0)))
    with pytest.raises(InputError) as caught:
        replay(TWO).run([name])
    assert str(caught.value) == (f"{name}: has 1 channel(s), but approach 'north' listens to channel 1, counted from 0")


def test_every_file_that_cannot_be_opened_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(write(tmp_path / "a.wav", (4.0, 9.0)))
    (tmp_path / "b.wav").touch()
    with pytest.raises(InputError) as caught:
        replay(scores=tmp_path / "s").run([good, str(tmp_path / "b.wav"), str(tmp_path / "c.wav")])
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'b.wav'}: is empty (0 bytes)",
        f"{tmp_path / 'c.wav'}: cannot be read: No such file or directory",
    ]
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "s").exists()


def broken(path: Path) -> str:
    pcm, rate_hz = soundfile.read(write(path, (4.0, 15.0)), dtype="float32", always_2d=True)
    pcm[12 * rate_hz] = np.nan
    soundfile.write(path, pcm, rate_hz, subtype="FLOAT")
    return str(path)


def test_a_file_that_turns_out_bad_is_left_out_and_the_others_are_not_lost(tmp_path: Path) -> None:
    bad = broken(tmp_path / "bad.wav")
    good = [str(write(tmp_path / name, (4.0, 9.0))) for name in ("a.wav", "b.wav")]
    wishes: dict[str, Any] = {"events": tmp_path / "e", "scores": tmp_path / "s", "plot": tmp_path / "p.png"}
    with pytest.raises(InputError) as caught:
        replay(**wishes).run([good[0], bad, good[1]])
    assert str(caught.value) == f"{bad}: sample values are not finite at 12.000 s; repair or cut the file"
    assert {event["source"] for event in events_in((tmp_path / "e").read_text())} == set(good)
    assert {line.split(",")[0] for line in (tmp_path / "s").read_text().splitlines()[1:]} == set(good)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_is_written_when_no_file_was_good(tmp_path: Path) -> None:
    bad = broken(tmp_path / "bad.wav")
    wishes: dict[str, Any] = {"events": tmp_path / "e", "scores": tmp_path / "s", "plot": tmp_path / "p.png"}
    with pytest.raises(InputError):
        replay(**wishes).run([bad])
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_a_stream_tells_of_a_call_that_a_bad_file_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        replay().run([broken(tmp_path / "bad.wav")])
    events = events_in(capsys.readouterr().out)
    assert [(event["state"], event["reason"]) for event in events] == [
        ("approaching", "siren"),
        ("clear", "input_lost"),
    ]


def test_realtime_takes_as_long_as_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("sirend.replay.replay.time.sleep", sleep)
    monkeypatch.setattr("sirend.replay.replay.time.monotonic", lambda: now[0])
    name = str(write(tmp_path / "a.wav", (4.0, 9.0), seconds=12.5))
    replay(events=tmp_path / "e", is_realtime=True, block_s=0.05).run([name])
    assert sum(slept) == pytest.approx(12.5)
    assert len(events_in((tmp_path / "e").read_text())) == 2


def test_a_picture_shows_a_few_files_only(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a.wav", (4.0, 9.0)))
    with pytest.raises(UsageError, match="--plot shows at most 8 files at once, not 9"):
        replay(plot=tmp_path / "p.png").run([name] * 9)


def test_the_configured_schedule_inhibits_by_local_time(tmp_path: Path) -> None:

    always = dataclasses.replace(Config(), call=dataclasses.replace(Config().call, inhibit=(Inhibit(),)))
    replay(always, events=tmp_path / "e").run([str(write(tmp_path / "a.wav", (4.0, 9.0)))])
    assert (tmp_path / "e").read_text() == ""


def test_a_recording_in_which_nothing_is_called_is_worth_a_word(tmp_path: Path) -> None:
    quiet, loud = str(write(tmp_path / "quiet.wav")), str(write(tmp_path / "loud.wav", (4.0, 9.0)))
    player = replay(events=tmp_path / "events.jsonl")
    player.run([quiet, loud])
    assert player.quiet == {quiet: "no call; the highest score is 0.010, a siren's are above 0.6"}


def test_a_siren_that_may_not_call_is_told_why(tmp_path: Path) -> None:
    """It was told that the highest score, .998, was not above .945."""
    loud, plain = str(write(tmp_path / "loud.wav", (4.0, 9.0))), Config()
    strict = dataclasses.replace(
        plain,
        detect=dataclasses.replace(plain.detect, tones=("yelp",)),
        call=dataclasses.replace(plain.call, inhibit=(Inhibit(),)),
    )
    player = replay(strict, events=tmp_path / "events.jsonl")
    player.run([loud])
    said = player.quiet[loud]
    assert said.startswith("no call, although the score reached 0.9")
    assert said.endswith(" s and be of detect.tones (yelp) and lie outside call.inhibit")


def test_a_name_that_is_no_unicode_is_text_in_events_and_scores(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/stra\xdfe.wav")
    write(tmp_path / "a.wav", (4.0, 9.0)).rename(name)
    events, scores = tmp_path / "events.jsonl", tmp_path / "scores.csv"
    replay(events=events, scores=scores).run([name])
    shown = f"{tmp_path}/stra\\xdfe.wav"
    assert {event["source"] for event in events_in(events.read_text("utf-8"))} == {shown}
    assert scores.read_text("utf-8").splitlines()[1].startswith(f"{shown},main,2.000,")
