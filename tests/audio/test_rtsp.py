"""Network microphones: the source on a real RTSP server that is fed by a recording, killed, stalled and restarted."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from sirend.audio import rtsp
from sirend.audio.microphone import Microphone
from sirend.audio.stream import Block, Gap, GapReason
from sirend.config.settings import AudioConfig
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.audio.stream import Pcm

pytestmark = pytest.mark.system
SERVER = Path(__file__).parent / "rtsp_server.py"
PATIENCE_S = 90.0
TONE_HZ = 900.0
ALAW = "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay0 pt=8"
OPUS = "audioconvert ! audioresample ! opusenc ! rtpopuspay name=pay0 pt=96"
AAC = "audioconvert ! audioresample ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! rtpmp4gpay name=pay0 pt=97"
ULAW = "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay0 pt=0"


class Server:
    """GStreamer's RTSP server."""

    def __init__(self, pipeline: str, *options: str, scheme: str = "rtsp") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._words = ["/usr/bin/python3", str(SERVER), str(self.port), pipeline, *options]
        self.url = f"{scheme}://127.0.0.1:{self.port}/street"
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.lines.clear()
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        until_s = time.monotonic() + PATIENCE_S
        while "ready" not in self.lines:
            if self._process.poll() is not None or time.monotonic() > until_s:
                pytest.fail(
                    "these tests need: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base "
                    "gstreamer1.0-plugins-good gstreamer1.0-libav glib-networking"
                )
            time.sleep(0.05)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.lines.extend(line.strip() for line in process.stdout)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def serving(pipeline: str, *options: str, scheme: str = "rtsp") -> Iterator[Server]:
    server = Server(pipeline, *options, scheme=scheme)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the beginning of a pipeline that plays two minutes of a tone in noise."""
    path = tmp_path_factory.mktemp("street") / "street.wav"
    at_s = np.arange(120 * 16_000) / 16_000
    noise = np.random.default_rng(1).standard_normal(at_s.size)
    soundfile.write(path, 0.3 * np.sin(2.0 * np.pi * TONE_HZ * at_s) + 0.01 * noise, 16_000)
    return f"filesrc location={path} ! wavparse"


def until(items: Iterator[Block | Gap], is_it: Callable[[Block | Gap], bool]) -> float:
    """Iterate until an item is the one; return how many seconds it took."""
    began_s = time.monotonic()
    for item in items:
        if is_it(item):
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < PATIENCE_S
    raise AssertionError("the stream ended")


def heard(items: Iterator[Block | Gap], seconds: float) -> Pcm:
    """Return the next ``seconds``, float32[n, channels] at 16 kHz."""
    blocks: list[Pcm] = []

    def is_enough(item: Block | Gap) -> bool:
        if isinstance(item, Block):
            blocks.append(item.pcm)
        return sum(map(len, blocks)) >= seconds * 16_000

    until(items, is_enough)
    return np.concatenate(blocks)


def is_silence(item: Block | Gap) -> bool:
    return isinstance(item, Block) and len(item.pcm) > 0 and not bool((np.abs(item.pcm) > 0.05).any())


def is_sound(item: Block | Gap) -> bool:
    return isinstance(item, Block) and len(item.pcm) > 0


def loudest_hz(pcm: Pcm) -> float:
    spectrum = np.abs(np.fft.rfft(pcm[:, 0] * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 16_000 / len(pcm))


@pytest.mark.parametrize(
    ("coder", "words"),
    [
        (ALAW, "pcm_alaw, 8000 Hz, 1"),
        (ULAW, "pcm_mulaw, 8000 Hz, 1"),
        (OPUS, "opus, 48000 Hz"),
        (AAC, "aac, 44100 Hz, 2"),
    ],
)
def test_each_codec_and_rate_arrives_at_16_khz(street: str, coder: str, words: str) -> None:
    with (
        serving(f"{street} ! {coder}") as server,
        Microphone(AudioConfig(device=server.url), threading.Event()) as source,
    ):
        assert source.is_seeking
        items = iter(source)
        until(items, is_sound)
        pcm = heard(items, 1.5)
        assert loudest_hz(pcm) == pytest.approx(TONE_HZ, abs=2.0)
        assert 0.15 < float(np.std(pcm)) < 0.3
        assert not source.is_seeking
        assert source.problem is None
        assert rtsp.measure(AudioConfig(device=server.url), 0.5).startswith(words)


def test_a_camera_that_is_killed_is_named_within_5_s_and_back_when_it_is(
    street: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        serving(f"{street} ! {ALAW}") as server,
        Microphone(AudioConfig(device=server.url), threading.Event()) as source,
    ):
        items = iter(source)
        until(items, is_sound)
        heard(items, 0.5)
        server.kill()
        gap_s = until(items, lambda item: isinstance(item, Gap) and item.reason is GapReason.DEVICE_LOST)
        assert gap_s < 5.0
        assert source.problem == "the stream has ended"
        until(items, lambda _: source.problem == "Connection refused")
        server.start()
        until(items, is_sound)
        assert loudest_hz(heard(items, 1.0)) == pytest.approx(TONE_HZ, abs=2.0)
        assert caplog.messages[-1] == "microphone: opened again"
        assert sum("Connection refused" in message for message in caplog.messages) == 1


def test_a_camera_that_stalls_is_named_within_5_s_and_what_it_kept_is_not_heard(street: str) -> None:
    with (
        serving(f"{street} ! {ALAW}") as server,
        Microphone(AudioConfig(device=server.url), threading.Event()) as source,
    ):
        items = iter(source)
        until(items, is_sound)
        heard(items, 0.5)
        server.send(signal.SIGSTOP)
        assert until(items, lambda item: isinstance(item, Gap) and item.is_fault) < 5.0
        assert source.problem == "nothing arrived for 3 s"
        server.send(signal.SIGCONT)
        until(items, is_sound)
        given = source.arrived()
        began_s = time.monotonic()
        heard(items, 1.0)
        assert (source.arrived() - given) / 16_000 < time.monotonic() - began_s + 1.0  # no seconds at once


def test_the_end_of_a_stream_is_told(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(2).standard_normal(3 * 16_000), 16_000)
    pipeline = f"filesrc location={path} ! wavparse ! {ALAW}"
    with serving(pipeline) as server, Microphone(AudioConfig(device=server.url), threading.Event()) as source:
        items = iter(source)
        until(items, is_sound)
        until(items, lambda item: isinstance(item, Gap) and item.is_fault)
        assert source.problem in ("the stream has ended", "nothing arrived for 3 s")


def test_a_wrong_password_is_named_within_5_s_and_never_written(
    street: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "camera.secret"
    secret.write_text("guest:wr@ng/word\n")
    with serving(f"{street} ! {ALAW}", "--user", "guest:r@ght:word") as server:
        audio = AudioConfig(device=server.url, credentials_file=secret)
        with Microphone(audio, threading.Event()) as source:
            items = iter(source)
            took_s = until(items, lambda _: source.problem is not None)
            assert took_s < 5.0
            assert source.problem == "wrong name or password (audio.credentials_file)"
            with pytest.raises(DeviceError) as caught:
                rtsp.measure(audio)
            secret.write_text("guest:r@ght:word\n")
            until(items, is_sound)
    for text in (*caplog.messages, str(caught.value)):
        assert "wr@ng" not in text
        assert "wr%40ng" not in text
        assert "r@ght" not in text


def test_a_stream_without_sound_and_a_path_that_is_none_are_named(street: str) -> None:
    video = "videotestsrc ! jpegenc ! rtpjpegpay name=pay0 pt=26"
    with serving(video) as server, Microphone(AudioConfig(device=server.url), threading.Event()) as source:
        assert until(iter(source), lambda _: source.problem is not None) < 5.0
        assert source.problem == "the stream has no sound"
    with serving(f"{street} ! {ALAW}") as server:
        nowhere = AudioConfig(device=server.url.replace("street", "nowhere"))
        with pytest.raises(DeviceError, match="it has no such stream: is the path right"):
            rtsp.measure(nowhere)
        two = AudioConfig(device=server.url, channels=2)
        with pytest.raises(DeviceError, match=r"it has 1 channels, audio\.channels is 2"):
            rtsp.measure(two)


def test_an_encrypted_stream_is_heard_where_the_certificate_is_of_the_authority(street: str, tmp_path: Path) -> None:
    assert shutil.which("openssl")
    made = []
    for name in ("camera", "other"):
        key, cert = tmp_path / f"{name}.key", tmp_path / f"{name}.crt"
        words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
        (tmp_path / f"{name}.pem").write_text(cert.read_text() + key.read_text())
        made.append(cert)
    with serving(f"{street} ! {ALAW}", "--pem", str(tmp_path / "camera.pem"), scheme="rtsps") as server:
        assert rtsp.measure(AudioConfig(device=server.url, authority_file=made[0]), 0.5).startswith("pcm_alaw")
        with pytest.raises(DeviceError):
            rtsp.measure(AudioConfig(device=server.url, authority_file=made[1]), 0.5)
        with pytest.raises(DeviceError):
            rtsp.measure(AudioConfig(device=server.url), 0.5)


@pytest.mark.parametrize("coder", [ALAW, OPUS, AAC])
def test_sound_is_a_block_within_half_a_second(coder: str) -> None:
    clicks = "audiotestsrc is-live=true wave=ticks freq=1000 volume=0.9 samplesperbuffer=320 name=source"
    pipeline = f"{clicks} ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! {coder}"
    with serving(pipeline) as server, Microphone(AudioConfig(device=server.url), threading.Event()) as source:
        items = iter(source)
        until(items, is_sound)
        delays_s: list[float] = []
        while len(delays_s) < 3:
            until(items, lambda item: isinstance(item, Block) and bool((np.abs(item.pcm) > 0.3).any()))
            now_s = time.monotonic()
            said = [float(line.split()[1]) for line in list(server.lines) if line.startswith("click")]
            delays_s.append(min(now_s - at_s for at_s in said if at_s <= now_s))
            until(items, is_silence)
        print(coder.split(" ! ")[-2], [round(1e3 * delay_s) for delay_s in delays_s], "ms")  # noqa: T201  the figure
        assert min(delays_s) < 0.5
