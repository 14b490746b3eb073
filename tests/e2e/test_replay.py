"""The command line on recordings: what it writes, and one clear line for everything that can be wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from sirend.detect import bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker
    from tests.e2e.conftest import Command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
EVENT = "sirend/main-5th/main/event"


def write(path: Path, seconds: float = 3.0, rate_hz: int = 16_000, channels: int = 1, subtype: str = "FLOAT") -> Path:
    pcm = 0.05 * np.random.default_rng(2).standard_normal((round(seconds * rate_hz), channels))
    soundfile.write(path, pcm, rate_hz, subtype=subtype)
    return path


def damage(path: Path, offset: int, layout: str, value: int) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, value)
    path.write_bytes(data)


NO_CALL = r"sirend: a\.wav: no call; the highest score is 0\.\d{3}, a siren's are above 0\.\d+\n"


def failed(sirend: Command, *arguments: str | Path) -> tuple[int, list[str]]:
    """Return exit code and lines on stderr of a command that is to write nothing else."""
    before = sorted(sirend.folder.iterdir())
    done = sirend(*arguments)
    assert done.stdout == ""
    assert sorted(sirend.folder.iterdir()) == before
    return done.returncode, done.stderr.splitlines()


def test_the_same_file_gives_the_same_bytes(sirend: Command, drive_by: Path) -> None:
    written = []
    for _ in range(2):
        done = sirend("replay", "--events", "e.jsonl", "--scores", "s.csv", drive_by)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        written.append(((sirend.folder / "e.jsonl").read_bytes(), (sirend.folder / "s.csv").read_bytes()))
    assert written[0] == written[1]
    assert sirend("replay", drive_by).stdout.encode() == written[0][0]
    assert [json.loads(line)["state"] for line in written[0][0].splitlines()] == ["approaching", "clear"]
    rows = written[0][1].decode().splitlines()
    assert rows[0] == "source,approach,window_end_s,score,level_dbfs"
    assert [row.split(",")[2] for row in rows[1:4]] == ["2.000", "2.250", "2.500"]
    assert len(rows) == 1 + (26 - 2) * 4 + 1


def test_a_sparing_site_asks_less_and_calls_a_plain_siren_alike(sirend: Command, drive_by: Path) -> None:
    written = []
    for sparing in ("false", "true"):
        config = sirend.folder / f"{sparing}.yaml"
        config.write_text(f"site: main-5th\ndetect: {{sparing: {sparing}}}\n")
        done = sirend("replay", "--config", config, "--scores", "s.csv", drive_by)
        assert [json.loads(line)["state"] for line in done.stdout.splitlines()] == ["approaching", "clear"]
        written.append([float(row.split(",")[3]) for row in (sirend.folder / "s.csv").read_text().splitlines()[1:]])
    usual, sparing_scores = written
    assert sparing_scores[0] < usual[0] < 0.05, "asleep, and further from waking"


def test_a_picture_is_drawn(sirend: Command, drive_by: Path) -> None:
    done = sirend("replay", "--plot", "p.png", drive_by)
    assert (done.returncode, done.stderr) == (0, "")
    assert (sirend.folder / "p.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("recording", "windows"),
    [
        ((0.01, 16_000, 1, "PCM_16"), 1),
        ((3.0, 8_000, 1, "PCM_U8"), 5),
        ((3.0, 44_100, 2, "PCM_24"), 5),
        ((3.0, 96_000, 8, "FLOAT"), 5),
        ((2.6, 11_025, 1, "DOUBLE"), 3),
    ],
)
def test_any_length_rate_channel_count_and_sample_format_is_taken(
    sirend: Command, recording: tuple[float, int, int, str], windows: int
) -> None:
    write(sirend.folder / "a.wav", *recording)
    done = sirend("replay", "--scores", "s.csv", "a.wav")
    assert done.returncode == 0
    assert re.fullmatch(NO_CALL, done.stderr)
    rows = (sirend.folder / "s.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [["a.wav", "main"]] * windows
    assert rows[0].split(",")[2] == "2.000"


def test_files_that_cannot_be_played_get_one_line(sirend: Command) -> None:
    folder = sirend.folder
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not audio at all\n" * 9)
    write(folder / "none.wav", 0.0)
    damage(write(folder / "zero.wav", subtype="PCM_16"), 24, "<I", 0)
    pcm, _ = soundfile.read(write(folder / "nan.wav"), dtype="float32")
    pcm[40_000] = np.nan
    soundfile.write(folder / "nan.wav", pcm, 16_000, subtype="FLOAT")
    for name, problem in {
        "missing.wav": "cannot be read: No such file or directory",
        "empty.wav": "is empty (0 bytes)",
        "text.wav": "is not a playable recording: Format not recognised",
        "none.wav": "holds no audio (0 frames)",
        "zero.wav": "is not a playable recording: its header gives an impossible sample rate, channel count or size",
        "nan.wav": "sample values are not finite at 2.500 s; repair or cut the file",
    }.items():
        assert failed(sirend, "replay", "--scores", "s.csv", "--events", "e.jsonl", "--plot", "p.png", name) == (
            66,
            [f"sirend: error: {name}: {problem}"],
        )


def test_a_truncated_file_is_played_with_one_line_of_warning(sirend: Command) -> None:
    path = write(sirend.folder / "a.wav", 4.0, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: 44 + 2 * 40_000])
    done = sirend("replay", "--scores", "s.csv", "a.wav")
    assert done.returncode == 0
    warning, said = done.stderr.splitlines(keepends=True)
    assert warning == (
        "sirend: warning: a.wav: it is cut short: its header promises 128000 bytes and 80000 are there; "
        "what is there is played\n"
    )
    assert re.fullmatch(NO_CALL, said)
    assert len((sirend.folder / "s.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "the following arguments are required: COMMAND; see `sirend --help`"),
        (("replay",), "the following arguments are required: WAV; see `sirend replay --help`"),
        (
            ("replay", "--start", "noon", "a.wav"),
            "argument --start: 'noon' is not a time such as 2026-11-22T21:03:00Z; see `sirend replay --help`",
        ),
        (
            ("replay", "--scores", "a.wav", "./a.wav"),
            "a.wav is named twice: writing it would destroy what else it is for",
        ),
        (("run",), "the following arguments are required: --config; see `sirend run --help`"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(
    sirend: Command, arguments: tuple[str, ...], problem: str
) -> None:
    write(sirend.folder / "a.wav")
    assert failed(sirend, *arguments) == (64, [f"sirend: error: {problem}"])


def test_every_problem_of_a_configuration_is_told_at_once(sirend: Command) -> None:
    write(sirend.folder / "a.wav")
    (sirend.folder / "c.yaml").write_text("sight: x\naudio: {stall_s: 5 ms}\ndetect: {hop_s: yes}\n")
    for arguments in (("check", "--config", "c.yaml"), ("replay", "--config", "c.yaml", "a.wav")):
        code, lines = failed(sirend, *arguments)
        assert code == 78
        assert [line.partition(" is ")[0].partition(":")[0] for line in lines] == ["sirend"] * 4
        assert all(line.startswith("sirend: error: c.yaml: ") for line in lines)
        assert sum("did you mean `site`?" in line for line in lines) == 1
        assert sum("site is missing" in line for line in lines) == 1


def test_check_sums_up_a_sound_configuration(sirend: Command) -> None:
    (sirend.folder / "c.yaml").write_text("site: elm-st\n")
    done = sirend("check", "--config", "c.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "ok"
    assert lines[1].startswith("ADVISORY ONLY: ")
    assert lines[2] == "site elm-st: main (channel 0) of the input 'default'"
    model = bundle.load(bundle.find(None))
    assert f"model {model.name}: digests verified, 113 golden windows give the same scores here" in lines


def test_a_tampered_or_missing_model_is_refused(sirend: Command, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(sirend.folder / "a.wav")
    model = tmp_path_factory.mktemp("models") / "siren-9.9.9"
    shutil.copytree(bundle.find(None), model)
    with (model / "model.tflite").open("r+b") as file:
        file.seek(1_000)
        file.write(b"\xff\xff\xff\xff")
    code, (line,) = failed(sirend, "replay", "--model", model, "a.wav")
    assert code == 78
    assert line.startswith(f"sirend: error: {model}: model.tflite has SHA-256 ")
    (model / "model.tflite").unlink()
    assert failed(sirend, "replay", "--model", model, "a.wav") == (
        78,
        [f"sirend: error: {model / 'model.tflite'}: the model cannot be read: No such file or directory"],
    )
    assert failed(sirend, "replay", "--model", "nowhere", "a.wav") == (
        78,
        ["sirend: error: nowhere: this is no model bundle: it has no file manifest.json"],
    )


def test_a_model_of_windows_that_remember_nothing_is_refused_with_what_to_do(sirend: Command) -> None:
    write(sirend.folder / "a.wav")
    (sirend.folder / "siren-0.1.0").mkdir()
    (sirend.folder / "siren-0.1.0" / "manifest.json").write_text('{"schema": "sirend/manifest/1"}')
    (sirend.folder / "site.yaml").write_text("site: main-5th\ndetect: {model: siren-0.1.0}\n")
    why = "is no longer run; take the one that ships (leave detect.model and --model out) or train yours anew"
    for words in (("replay", "--model", "siren-0.1.0", "a.wav"), ("check", "--config", "site.yaml")):
        code, (line,) = failed(sirend, *words)
        assert code == 78
        assert why in line


def test_a_full_disk_gets_one_line(sirend: Command, drive_by: Path) -> None:
    for option in ("--events", "--scores", "--plot"):
        done = sirend("replay", option, "/dev/full", drive_by)
        assert done.returncode == 69
        (line,) = done.stderr.splitlines()
        assert line.startswith("sirend: error: /dev/full: ")
        assert "No space left on device" in line
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        words = [*sirend.words, "replay", str(drive_by)]
        done_bytes = subprocess.run(
            words, cwd=sirend.folder, env=sirend.variables, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done_bytes.returncode == 69
    assert len(done_bytes.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_ends_nothing_but_its_own_lines(sirend: Command, drive_by: Path) -> None:
    words = [*sirend.words, "replay", "--scores", "s.csv", str(drive_by)]
    with subprocess.Popen(
        words, cwd=sirend.folder, env=sirend.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
    assert len((sirend.folder / "s.csv").read_text().splitlines()) == 98


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM, signal.SIGXCPU, signal.SIGRTMIN],
)
def test_a_termination_leaves_no_unfinished_file(sirend: Command, drive_by: Path, number: signal.Signals) -> None:
    # What the tests were started to ignore, as nohup has it, the command would ignore too.
    words = ["env", "--default-signal", *sirend.words, "replay", "--speed", "realtime", "--scores", "s.csv"]
    with subprocess.Popen([*words, str(drive_by)], cwd=sirend.folder, env=sirend.variables) as process:
        until = time.monotonic() + 120.0
        while not list(sirend.folder.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert list(sirend.folder.iterdir()) == []


def test_progress_is_shown_on_a_terminal_and_lines_of_events_stay_whole(sirend: Command, drive_by: Path) -> None:
    pcm, rate_hz = soundfile.read(drive_by, start=4 * 16_000, stop=8 * 16_000)
    soundfile.write(sirend.folder / "long.flac", pcm, rate_hz)
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    words = [*sirend.words, "replay", "--speed", "realtime", "long.flac"]
    with subprocess.Popen(words, cwd=sirend.folder, env=sirend.variables, stdout=end, stderr=end) as process:
        os.close(end)
        shown = b""
        try:
            while chunk := os.read(terminal, 4_096):
                shown += chunk
        except OSError:  # what Linux says when the other end is closed
            pass
        assert process.wait() == 0
    os.close(terminal)
    assert b"long.flac:" in shown
    assert b"/4" in shown
    called, cleared = (json.loads(line) for line in re.findall(rb"[\r\n]({.*})\r\n", shown))
    assert (called["state"], cleared["state"]) == ("approaching", "clear")


def test_memory_does_not_grow_with_length(sirend: Command) -> None:
    (sirend.folder / "c.yaml").write_text("site: main-5th\ndetect: {hop_s: 2}\n")
    peaks = []
    for seconds in (30.0, 600.0):
        write(sirend.folder / "a.wav", seconds, subtype="PCM_16")
        code = "from sirend.cli.main import main; main(); print(open('/proc/self/status').read())"
        words = [sirend.words[0], "-c", code, "replay", "--config", "c.yaml", "--plot", "p.png", "a.wav"]
        done = subprocess.run(words, cwd=sirend.folder, env=sirend.variables, capture_output=True, check=True)
        (peak,) = re.findall(rb"VmHWM:\s*(\d+) kB", done.stdout)
        peaks.append(int(peak) / 1_024)
    assert peaks[1] - peaks[0] < 20.0, "the samples alone are 38 MB"


def test_events_reach_a_subscriber(sirend: Command, broker: Broker, drive_by: Path) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with broker.subscribe(EVENT) as subscriber:
        done = sirend("replay", "--config", "c.yaml", "--mqtt", drive_by)
        received = [message.payload for message in subscriber.take(2)]
    assert (done.returncode, done.stderr) == (
        0,
        f"sirend: info: MQTT broker 127.0.0.1:{broker.port}: connected with MQTT 5\n",
    )
    assert received == done.stdout.splitlines()


def test_an_absent_broker_gets_one_line(sirend: Command, make_broker: Callable[[], Broker], drive_by: Path) -> None:
    port = make_broker().port
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {port}}}\n")
    done = sirend("replay", "--config", "c.yaml", "--mqtt", "--scores", "s.csv", drive_by)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.splitlines()[-1] == (
        f"sirend: error: MQTT broker 127.0.0.1:{port}: cannot be reached: Connection refused; "
        "start it, or correct mqtt in the configuration"
    )
    assert not (sirend.folder / "s.csv").exists()


def test_replay_needs_little(sirend: Command, drive_by: Path) -> None:
    code = "import sys; from sirend.cli.main import main; main(['replay', sys.argv[1]]); print(*sorted(sys.modules))"
    words = [sirend.words[0], "-c", code, str(drive_by)]
    done = subprocess.run(words, env=sirend.variables, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"sounddevice", "matplotlib", "scipy.signal", "tensorflow", "sirend.simulate.scene"} == set()


def test_demo_leaves_a_picture_and_says_where(sirend: Command) -> None:
    done = sirend("demo")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines[1:-2]] == ["emergency_approaching", "emergency_cleared"]
    said = re.fullmatch(r"It was called ([0-9.]+) s and ([0-9]+) m before the stop line, .*[.]", lines[-2])
    assert said is not None
    assert float(said[1]) > 10.0
    assert int(said[2]) == pytest.approx(float(said[1]) * 50.0 / 3.6, abs=1.0)
    assert lines[-1].endswith("the picture is in demo-out/drive-by.png")
    assert (sirend.folder / "demo-out" / "drive-by.png").read_bytes()[:4] == b"\x89PNG"


def test_simulate_gives_the_same_bytes_for_the_same_seed(sirend: Command) -> None:
    for name in ("a.wav", "b.wav"):
        done = sirend("simulate", name, "--siren", "hilo", "--profile", "de", "--speed-kmh", "90", "--seed", "4")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (sirend.folder / "a.wav").read_bytes() == (sirend.folder / "b.wav").read_bytes()
    assert (sirend.folder / "a.json").read_bytes() == (sirend.folder / "b.json").read_bytes()
    assert failed(sirend, "simulate", "c.wav", "--siren", "horn")[0] == 64
    assert failed(sirend, "simulate", "c.wav", "--background", "none.wav")[0] == 66
