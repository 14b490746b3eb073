"""A microphone on the network as a device: the sound of a camera or an outdoor unit over RTSP.

A thread of its own connects and decodes, for both may wait; the worker never does. The library is PyAV, of the extra
``rtsp``.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import numpy as np

from sirend.audio import freshness
from sirend.audio.freshness import Age, Freshness
from sirend.config.secrets import secret
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.audio.stream import Pcm
    from sirend.config.settings import AudioConfig

CONNECT_S = 4.0
"""How long connecting may take."""
READ_S = 3.0
"""How long a connection that stands may deliver nothing before it is given up."""
LEAVE_S = 1.0
"""How long whoever tried a camera waits for the connection to end: one that sends does within a packet."""
JUMPY_S = 60.0
"""How long a jump of the time stamps is worth a word."""
SOUNDLESS = "the stream has no sound"
REFUSED = "Server returned 4XX"
"""What a server answers who is asked for the sound of a stream of pictures alone, and in other cases."""
FULL_SCALE = {"i": {2: 32_768.0, 4: 2_147_483_648.0}, "u": {1: 128.0}}
"""By kind and bytes of a sample."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a network microphone sends."""

    codec: str
    rate_hz: int
    channels: int
    packet_s: float
    """Length of what is decoded at a time."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.codec}, {self.rate_hz} Hz, {self.channels} channels, {1e3 * self.packet_s:.0f} ms a packet"


class RtspConnection:
    """One connection, on a thread of its own."""

    def __init__(self, audio: AudioConfig) -> None:
        """Begin to connect."""
        self._audio = audio
        self._stop = threading.Event()
        self.deliver: Callable[[Pcm, bool], None] | None = None
        """Gets float32[n, channels] and whether samples are missing before; None throws them away."""
        self.error: str | None = None
        """Why it ended, or never began."""
        self.format: Format | None = None
        """Known when the first sound is decoded that is of now."""
        self.freshness = Freshness()
        self.jumped_s: float | None = None
        """When the time stamps jumped last, monotonic."""
        self.first_s: float | None = None
        """When the first sound came, monotonic."""
        # It ends by itself within READ_S; the daemon does not wait for it, for a camera may be held up for good.
        self._thread = threading.Thread(target=self._run, name="rtsp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.deliver = None
        self._stop.set()

    def join(self) -> None:
        """Wait ``LEAVE_S`` at most until it has ended and said goodbye: some cameras serve one at a time."""
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        try:
            for pcm, is_after_loss in self._sound():
                if self._stop.is_set():
                    return
                if (deliver := self.deliver) is not None:
                    deliver(pcm, is_after_loss)
            self.error = "the stream has ended"
        except (DeviceError, ConfigError) as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001  whatever a decoder raises: it must show in health, never end silently
            self.error = f"it cannot be decoded ({type(error).__name__})"

    def _sound(self) -> Iterator[tuple[Pcm, bool]]:
        """Yield what arrives that is of now: float32[n, channels], and whether samples are missing before."""
        library = load_av()
        url = _with_credentials(self._audio)
        try:
            with library.open(url, options=_options(self._audio), timeout=(CONNECT_S, READ_S)) as container:
                if not container.streams.audio:
                    raise DeviceError(SOUNDLESS)
                stream = container.streams.audio[0]
                stream.thread_type = "NONE"  # threads hold frames back
                for packet in container.demux(stream):
                    if self._stop.is_set():
                        return
                    for frame in _decoded(packet, library):
                        yield from self._heard(frame, stream.codec_context.name)
        except library.FFmpegError as error:  # whose own text has the password
            words = _in_words(error, is_open=self.first_s is not None)
            if words.startswith(REFUSED) and not _has_sound(library, url, self._audio):
                words = SOUNDLESS
            raise DeviceError(words) from None

    def _heard(self, frame: Any, codec: str) -> Iterator[tuple[Pcm, bool]]:  # noqa: ANN401  the package has few types
        now_s = time.monotonic()
        pcm = samples_of(frame)
        rate_hz, length_s = int(frame.sample_rate), len(pcm) / frame.sample_rate
        if self.first_s is None:
            self.first_s = now_s
            if pcm.shape[1] < self._audio.channels:
                raise DeviceError(f"it has {pcm.shape[1]} channels, audio.channels is {self._audio.channels}")
        if self.format is not None and (rate_hz, pcm.shape[1]) != (self.format.rate_hz, self.format.channels):
            raise DeviceError("its format has changed")
        at_s = float(frame.pts * frame.time_base) if frame.pts is not None else (self.freshness.due_s or 0.0)
        jumps = self.freshness.jumps
        self.freshness, verdict = freshness.step(self.freshness, at_s, length_s, now_s)
        if self.freshness.jumps > jumps:
            self.jumped_s = now_s
        if verdict is Age.STALE:
            return
        self.format = Format(codec, rate_hz, pcm.shape[1], length_s) if self.format is None else self.format
        yield np.ascontiguousarray(pcm[:, : self._audio.channels]), verdict is Age.AFTER_HOLE


class NetworkCapture:
    """A network microphone, sought and opened as any other device."""

    uses_portaudio = False

    def __init__(self, audio: AudioConfig) -> None:
        """Prepare to connect as ``audio`` says."""
        self._audio = audio
        self._connection: RtspConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether it delivers by itself, as far as is known."""
        return self._connection is not None and self._connection.deliver is not None

    @property
    def ended(self) -> str | None:
        """Why nothing can come any more, in words; None while it is tried or open."""
        return "it is not open" if self._connection is None else self._connection.error

    @property
    def notice(self) -> str | None:
        """What is wrong though sound arrives; None when nothing is."""
        connection = self._connection
        if connection is None or connection.jumped_s is None or time.monotonic() - connection.jumped_s > JUMPY_S:
            return None
        return f"time stamps jump, {connection.freshness.jumps} times so far"

    def seek(self) -> None:
        """Begin to connect."""
        self.close()
        self._connection = RtspConnection(self._audio)

    def delivers(self) -> bool:
        """Return whether sound of now arrives; raise ``DeviceError`` when the connection has ended."""
        if (problem := self.ended) is not None:
            raise DeviceError(problem)
        return self._connection is not None and self._connection.format is not None

    def prepare(self) -> int:
        """Return the rate of the sound, Hz; raise ``DeviceError`` when there is none."""
        if self._connection is None or self._connection.format is None:
            raise DeviceError(self.ended or "it delivers nothing yet")
        return self._connection.format.rate_hz

    def start(self, deliver: Callable[[Pcm, bool], None]) -> None:
        """Pass on what arrives from now on; ``deliver`` is called on the connection's thread."""
        if self._connection is None:
            raise DeviceError("it is not open")
        self._connection.deliver = deliver

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def load_av() -> Any:  # noqa: ANN401  imported late: who has no network microphone needs no decoders, 19 MB and 2 s of them
    """Return the module ``av``; raise ``ConfigError`` when the extra is not installed."""
    try:
        import av  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("audio.device", [f"a network microphone needs the extra rtsp ({error})"]) from error
    return av


def samples_of(frame: Any) -> Pcm:  # noqa: ANN401
    """Return a decoded frame, of whatever format, as float32[n, channels] in [-1, 1]."""
    raw = frame.to_ndarray()
    channels = frame.layout.nb_channels
    raw = raw.T if frame.format.is_planar else raw.reshape(-1, channels)
    if raw.dtype.kind == "f":
        return np.asarray(raw, dtype=np.float32)
    scale = FULL_SCALE[raw.dtype.kind][raw.dtype.itemsize]
    offset = scale if raw.dtype.kind == "u" else 0.0
    return np.asarray((raw - offset) / scale, dtype=np.float32)


def stream_report(audio: AudioConfig, listen_s: float = 2.0) -> str:
    """Return in words what ``audio.device`` sends and how it arrives; raise ``DeviceError`` when nothing does."""
    began_s = time.monotonic()
    connection = RtspConnection(audio)
    arrivals: list[float] = []
    connection.deliver = lambda _pcm, _is_after_loss: arrivals.append(time.monotonic())
    try:
        while not arrivals or time.monotonic() - arrivals[0] < listen_s:
            if connection.error is not None:
                raise DeviceError(f"{audio.device}: {connection.error}")
            if time.monotonic() - began_s > CONNECT_S + READ_S + listen_s:
                raise DeviceError(f"{audio.device}: it opens, but delivers nothing that is of now")
            time.sleep(0.05)
    finally:
        connection.close()
        connection.join()
    assert connection.format is not None  # noqa: S101  it has arrived
    first_s = (connection.first_s or began_s) - began_s
    pause_s = float(np.diff(arrivals).max(initial=0.0))
    return (
        f"{connection.format}; the first sound came after {first_s:.1f} s, {connection.freshness.stale_s:.1f} s were "
        f"thrown away until it was of now, up to {1e3 * pause_s:.0f} ms passed between two packets"
    )


def _decoded(packet: Any, library: Any) -> list[Any]:  # noqa: ANN401
    """Return the frames of a packet; one that is damaged is a hole, which the time stamps show."""
    try:
        return list(packet.decode())
    except library.error.InvalidDataError:
        return []


def _has_sound(library: Any, url: str, audio: AudioConfig) -> bool:  # noqa: ANN401
    """Return whether there is sound beside the pictures; True where that cannot be found out."""
    options = _options(audio)
    del options["allowed_media_types"]
    try:
        with library.open(url, options=options, timeout=(CONNECT_S, READ_S)) as container:
            return bool(container.streams.audio)
    except library.FFmpegError:
        return True


def _options(audio: AudioConfig) -> dict[str, str]:
    """Return how to connect: over TCP, which loses nothing, without pictures, the camera's certificate checked."""
    options = {"rtsp_transport": "tcp", "fflags": "nobuffer", "allowed_media_types": "audio"}
    if audio.device.lower().startswith("rtsps://"):
        found = ssl.get_default_verify_paths().cafile if audio.authority_file is None else str(audio.authority_file)
        options |= {"tls_verify": "1", **({} if found is None else {"ca_file": found})}
    return options


def _with_credentials(audio: AudioConfig) -> str:
    """Return the URL with name and password from ``audio.credentials_file``; raise ``ConfigError`` when it is wrong."""
    if audio.credentials_file is None:
        return audio.device
    name, colon, password = secret(audio.credentials_file).decode("utf-8", "replace").partition(":")
    if not colon:
        raise ConfigError(str(audio.credentials_file), ["its first line is to be NAME:PASSWORD"])
    parts = urlsplit(audio.device)
    return parts._replace(netloc=f"{quote(name, safe='')}:{quote(password, safe='')}@{parts.netloc}").geturl()


def _in_words(error: Any, *, is_open: bool) -> str:  # noqa: ANN401
    """Return what the library found wrong. Its own text names the URL, password included."""
    kind = type(error).__name__
    words = {
        "HTTPUnauthorizedError": "wrong name or password (audio.credentials_file)",
        "HTTPForbiddenError": "it forbids access to this stream",
        "HTTPNotFoundError": "it has no such stream: is the path right?",
        "ExitError": "nothing arrived for 3 s" if is_open else "no answer within 4 s",
        "TimeoutError": "no answer",
        "InvalidDataError": "what it sends is no stream",
        "EOFError": "the stream has ended",
    }
    return words.get(kind) or re.sub(r"\S+://\S+", "", str(error.strerror)).strip() or kind
