"""Network microphones: the source on a real RTSP server that is fed by a recording, killed, stalled and restarted."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from tests.audio.test_devices import Junction

from sirend.audio import rtsp
from sirend.audio.devices import Devices
from sirend.audio.microphone import Microphone
from sirend.audio.routing import pickups
from sirend.audio.stream import Block, Gap, GapReason
from sirend.config.settings import Approach, AudioConfig, Config
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

    def play(self, pipeline: str) -> None:
        """Start it with another pipeline."""
        self._words[3] = pipeline
        self.start()

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


class HeldUp:
    """A network between the camera and us that keeps what is sent while it is held up, and then delivers it at once."""

    def __init__(self, port: int) -> None:
        self._camera = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.flows = threading.Event()
        self.flows.set()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                us, _ = self._listening.accept()
                camera = socket.create_connection(self._camera)
                self._ends += [us, camera]
                for source, sink in ((us, camera), (camera, us)):
                    self._threads.append(threading.Thread(target=self._forward, args=(source, sink, source is camera)))
                    self._threads[-1].start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_held_up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if is_held_up:
                    self.flows.wait(PATIENCE_S)
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for each in (self._listening, *self._ends):
            each.close()


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
        assert rtsp.stream_report(AudioConfig(device=server.url), 0.5).startswith(words)


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


def test_a_camera_that_comes_back_with_another_codec_and_rate_is_heard_at_its_pitch(
    street: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was set up anew, or another one took its address."""
    coders = [ALAW, AAC, OPUS, ULAW]
    with (
        serving(f"{street} ! {coders[0]}") as server,
        Microphone(AudioConfig(device=server.url), threading.Event()) as source,
    ):
        items = iter(source)
        until(items, is_sound)
        for coder in coders[1:]:
            server.kill()
            until(items, lambda item: isinstance(item, Gap) and item.is_fault)
            server.play(f"{street} ! {coder}")
            until(items, is_sound)
            assert loudest_hz(heard(items, 1.5)) == pytest.approx(TONE_HZ, abs=2.0), coder
            assert source.problem is None
    assert caplog.text.count("microphone: opened again") == len(coders) - 1


def made_up_frame(samples: int) -> SimpleNamespace:
    """Return silence as PyAV decodes it."""
    return SimpleNamespace(
        sample_rate=8_000,
        time_base=Fraction(1, 8_000),
        pts=0,
        layout=SimpleNamespace(nb_channels=1),
        format=SimpleNamespace(is_planar=False),
        to_ndarray=lambda: np.zeros((1, samples), dtype=np.int16),
    )


@pytest.mark.parametrize("change", [{"sample_rate": 16_000}, {"layout": SimpleNamespace(nb_channels=2)}])
def test_a_stream_that_changes_its_rate_or_channels_is_opened_anew_and_nothing_of_it_is_heard_wrong(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    monkeypatch.setattr(rtsp.RtspConnection, "_run", lambda _: None)
    connection = rtsp.RtspConnection(AudioConfig(device="rtsp://127.0.0.1:1/"))
    frame = made_up_frame(320)
    while connection.format is None:  # what was buffered is thrown away first
        list(connection._heard(frame, "pcm_alaw"))  # noqa: SLF001
        frame.pts += 320
        time.sleep(0.04)
    vars(frame).update(change)
    with pytest.raises(DeviceError, match="its format has changed"):
        list(connection._heard(frame, "pcm_alaw"))  # noqa: SLF001


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
                rtsp.stream_report(audio)
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
            rtsp.stream_report(nowhere)
        two = AudioConfig(device=server.url, channels=2)
        with pytest.raises(DeviceError, match=r"it has 1 channels, audio\.channels is 2"):
            rtsp.stream_report(two)


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
        assert rtsp.stream_report(AudioConfig(device=server.url, authority_file=made[0]), 0.5).startswith("pcm_alaw")
        with pytest.raises(DeviceError):
            rtsp.stream_report(AudioConfig(device=server.url, authority_file=made[1]), 0.5)
        with pytest.raises(DeviceError):
            rtsp.stream_report(AudioConfig(device=server.url), 0.5)


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


def test_sound_that_the_network_kept_is_not_heard() -> None:
    clicks = "audiotestsrc is-live=true wave=ticks freq=1000 volume=0.9 samplesperbuffer=320 name=source"
    pipeline = f"{clicks} ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! {ALAW}"
    with serving(pipeline) as server, closing(HeldUp(server.port)) as network:
        audio = AudioConfig(device=server.url.replace(str(server.port), str(network.port)))
        with Microphone(audio, threading.Event()) as source:
            items = iter(source)
            until(items, is_sound)
            heard(items, 1.0)
            network.flows.clear()
            until_s = time.monotonic() + 2.5  # shorter than a stall
            until(items, lambda _: time.monotonic() > until_s)
            before, given = time.monotonic(), source.arrived()
            network.flows.set()
            gaps: list[Gap] = []

            def is_over(item: Block | Gap) -> bool:
                if isinstance(item, Gap):
                    gaps.append(item)
                return time.monotonic() > before + 2.0

            until(items, is_over)
            assert [gap.reason for gap in gaps] == [GapReason.OVERFLOW]
            # Of 4.5 s that came within 2 s, those are passed on that were late by less than a second.
            assert 1.5 < (source.arrived() - given) / 16_000 < 3.4


def test_jumping_time_stamps_are_told_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp.RtspConnection, "_run", lambda _: None)
    device = rtsp.NetworkCapture(AudioConfig(device="rtsp://127.0.0.1:1/"))
    device.seek()
    assert device.notice is None
    connection = device._connection  # noqa: SLF001  what a camera whose clock is set would do to it
    assert connection is not None
    frame = made_up_frame(160)
    for pts in (0, 160, 80_000, 320):
        frame.pts = pts
        list(connection._heard(frame, "pcm_alaw"))  # noqa: SLF001
    assert device.notice == "time stamps jump, 2 times so far"
    assert connection.jumped_s is not None
    connection.jumped_s -= 61.0
    assert device.notice is None
    device.close()


def test_a_camera_beside_a_card_is_sought_while_the_card_is_heard(street: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, rng = Junction(), np.random.default_rng(4)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    with serving(f"{street} ! {ALAW}") as server:
        approaches = (Approach("north"), Approach("south", device=server.url))
        config = Config(audio=AudioConfig(device="north-mic"), approaches=approaches)
        with Devices(pickups(config), threading.Event()) as both:
            sounding = set()
            until_s = time.monotonic() + PATIENCE_S
            for number, item in both:
                assert time.monotonic() < until_s
                library.of["north-mic"][0].deliver(0.1 * rng.standard_normal((320, 1)).astype(np.float32))
                if is_sound(item):
                    sounding.add(number)
                if sounding == {0, 1}:
                    break
            server.kill()
            for _, item in both:
                library.of["north-mic"][0].deliver(0.1 * rng.standard_normal((320, 1)).astype(np.float32))
                if isinstance(item, Gap) and item.is_fault:
                    break
            found = both.diagnosis(time.monotonic())
            assert found.failed == ()
            assert f"{server.url}: the stream has ended" in found.degraded
            assert library.restarts == 0
