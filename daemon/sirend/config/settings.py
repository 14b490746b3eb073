"""What can be configured: frozen dataclasses with every key, its range and its default.

Times stay seconds here, with the unit in the key's name; who uses one turns it into samples once, at construction.
"""
# ruff: noqa: RUF009  every key is a call of ``fields``, which returns a dataclass field

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  the reader of the file looks the types up
from typing import TYPE_CHECKING

from sirend.config import fields
from sirend.config.geometry import KNOWN
from sirend.config.listen_settings import ListenConfig

if TYPE_CHECKING:
    from datetime import datetime

NAME = r"[a-z0-9-]{1,64}"
NAME_ALLOWED = "1 to 64 of the characters a-z, 0-9 and -"
LEVELS = r"(?=.{1,200}\Z)[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*"
LEVELS_ALLOWED = "topic levels of A-Z a-z 0-9 . _ -, up to 200 characters in all"
INPUT = r"\S(.*\S)?"
INPUT_ALLOWED = "the name of an input that `sirend devices` lists, or rtsp://HOST/PATH"
TONES = ("wail", "yelp", "hilo", "phaser", "pulsed", "horn", "mixed", "unknown")
"""Kinds of siren, as ``detect.tone.Tone`` tells them apart."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """Where the samples come from."""

    device: str = fields.text("default", INPUT, INPUT_ALLOWED)
    """Stable name of the PortAudio input, its USB socket, or the URL of a network microphone: rtsp:// or rtsps://."""
    channels: int = fields.number(1, 1, 64, "", whole=True)
    """Channels to open of ``device``."""
    rate: int | None = fields.number(None, 8_000, 192_000, "Hz", whole=True, optional=True, null="auto")
    """Sample rate to open the device at, Hz; None (``auto`` in the file) leaves it to the device."""
    stall_s: float = fields.number(5.0, 1.0, 60.0, "s")
    """The input counts as lost when nothing arrived for so long."""
    dbfs_of_94_db: float | None = fields.number(None, -100.0, 20.0, "dBFS", optional=True)
    """Level of 94 dB SPL (a calibrator) as ``level_dbfs`` counts it; None: the microphone is not calibrated."""
    credentials_file: Path | None = fields.path()
    """File whose first line is NAME:PASSWORD, for network microphones."""
    authority_file: Path | None = fields.path()
    """PEM file with the authority of the certificates of network microphones, rtsps://; None takes the host's."""

    @property
    def is_network(self) -> bool:
        """Whether ``device`` is a network microphone."""
        return self.device.lower().startswith(("rtsp://", "rtsps://"))


@dataclass(frozen=True, slots=True)
class Approach:
    """One leg of the junction and the channel that listens to it."""

    name: str = fields.text("main", NAME, NAME_ALLOWED)
    """Part of the topics."""
    channel: int = fields.number(0, 0, 63, "", whole=True)
    """Column of the input, counted from 0."""
    bearing_deg: float | None = fields.number(None, 0.0, 360.0, "degrees", optional=True)
    """Compass bearing from which vehicles of this approach come."""
    priority: int = fields.number(1, 1, 9, "", whole=True)
    """1 is served first when several approaches call."""
    device: str | None = fields.text(None, INPUT, INPUT_ALLOWED, optional=True)
    """Input that listens to it, where there are several; None is ``AudioConfig.device``."""
    width_deg: float = fields.number(60.0, 5.0, 360.0, "degrees")
    """With an array: width of the sector around that bearing that is this approach."""


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """When a sound counts as a siren."""

    model: Path | None = fields.path()
    """Model bundle; None is the one that ships."""
    hop_s: float = fields.number(0.25, 0.05, 2.0, "s", step=0.01)
    """Distance between windows."""
    profile: str = fields.text("balanced", "balanced|strict", "balanced or strict")
    """Which of the model's operating points: ``strict`` where a false call costs more than a late one."""
    sparing: bool = fields.switch(default=False)
    """Whether fewer sounds are worth the large network: for small computers and many microphones."""
    enter: float | None = fields.number(None, 0.01, 0.99, "", optional=True)
    """Evidence at which a siren is heard; None takes the profile's operating point, here and in the next three."""
    exit: float | None = fields.number(None, 0.01, 0.99, "", optional=True)
    """Evidence below which it is gone."""
    confirm_s: float | None = fields.number(None, 0.0, 10.0, "s", optional=True)
    """The evidence must be there for so long before a call."""
    release_s: float | None = fields.number(None, 0.0, 60.0, "s", optional=True)
    """The evidence must be gone for so long before a call ends."""
    tones: tuple[str, ...] | None = fields.some(TONES)
    """Kinds of siren that may call; None: all. Without ``unknown`` a call waits until the kind is certain."""


@dataclass(frozen=True, slots=True)
class Inhibit:
    """A part of the week, in the host's local time, in which no call is made."""

    days: tuple[str, ...] = fields.choices(DAYS)
    """Days on which it begins."""
    from_min: int = fields.time_of_day(0, key="from")
    """First minute, counted from midnight, 0..1440."""
    to_min: int = fields.time_of_day(24 * 60, key="to")
    """First minute after it; not later than ``from_min`` means on the next day."""

    def covers(self, local: datetime) -> bool:
        """Return whether the local time lies in it."""
        minute = local.hour * 60 + local.minute
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if self.from_min < self.to_min:
            return today in self.days and self.from_min <= minute < self.to_min
        return (today in self.days and minute >= self.from_min) or (yesterday in self.days and minute < self.to_min)


@dataclass(frozen=True, slots=True)
class CallConfig:
    """How long a call may and must last, after NTCIP 1202 preemption."""

    min_duration_s: float = fields.number(5.0, 1.0, 300.0, "s")
    """A call holds at least so long, except when the input fails or the daemon stops."""
    max_presence_s: float = fields.number(60.0, 5.0, 900.0, "s")
    """A call ends after so long at the latest."""
    rearm_gap_s: float = fields.number(5.0, 1.0, 600.0, "s")
    """After that, so long without a siren before the next call."""
    max_calls_per_hour: int = fields.number(20, 1, 720, "calls", whole=True)
    """More calls than these within an hour are inhibited."""
    valid_for_s: float = fields.number(5.0, 2.0, 60.0, "s")
    """A consumer must treat a state as clear when it is older than this."""
    advisory: bool = fields.switch(default=True)
    """Mark every event as information only: a site begins on trial, and only its operator ends that."""
    departed_s: float | None = fields.number(None, 1.0, 60.0, "s", optional=True)
    """A siren that drives away for so long ends the call before it is gone; None waits until it is gone."""
    stationary_s: float | None = fields.number(None, 5.0, 900.0, "s", optional=True)
    """A siren that stands still for so long ends the call; None leaves it to ``max_presence_s``."""
    inhibit: tuple[Inhibit, ...] = fields.several(Inhibit, (), "{days, from, to}")
    """When no call is made."""


@dataclass(frozen=True, slots=True)
class ArbitrationConfig:
    """Which approach calls when several hear a siren."""

    mode: str = fields.text("first", "first|parallel", "first or parallel")
    """``first``: one call at a time, first come, first served; ``parallel``: each approach for itself."""
    margin_db: float = fields.number(6.0, 0.0, 40.0, "dB")
    """The approach that hears the siren loudest wins when it leads by so much; else priority and onset decide."""
    settle_s: float = fields.number(1.0, 0.0, 5.0, "s")
    """So long a confirmed siren waits for a better approach to confirm it as well."""
    hold_s: float = fields.number(10.0, 0.0, 120.0, "s")
    """So long after a call, when its siren is gone, the approaches that heard it as well are held."""


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """A small array of microphones on one device that tells the legs apart by their bearing."""

    device: str | None = fields.text(None, INPUT, INPUT_ALLOWED, optional=True)
    """Input that it is; None is ``AudioConfig.device``."""
    geometry: str | tuple[tuple[float, float], ...] = fields.places("respeaker-4", tuple(KNOWN))
    """Name of an array that is sold, or where each microphone lies, [x, y] in m: x right of its front, y to its front;
    those are the first columns of the device."""
    heading_deg: float = fields.number(0.0, 0.0, 360.0, "degrees")
    """Compass bearing to which its front looks."""
    unknown_leg: str = fields.text("main", "hold|main|all", "hold, main or all")
    """Who may call while the leg is not known: nobody, the approach ``main`` that hears all round, or every one."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The certificates of an encrypted connection, PEM files."""

    ca_file: Path | None = fields.path()
    """Authorities that may have signed the broker's certificate; None takes the system's."""
    cert_file: Path | None = fields.path()
    """The daemon's own certificate."""
    key_file: Path | None = fields.path()
    """The key that belongs to it."""


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker."""

    host: str = fields.text("127.0.0.1", r"[A-Za-z0-9._:%-]{1,253}", "a host name or address")
    """Host name or address."""
    port: int = fields.number(1883, 1, 65535, "", whole=True)
    """TCP port; 8883 is usual with TLS."""
    client_id: str | None = fields.text(None, r"[\x21-\x7e]{1,64}", "1 to 64 printable characters", optional=True)
    """What the broker knows the daemon by; None is ``sirend-<site>``, followed by a part made of the key for TLS."""
    username: str | None = fields.text(None, r".{1,256}", "text", optional=True)
    """For brokers that ask for a password."""
    password_file: Path | None = fields.path()
    """File, or name of a systemd credential, whose first line is the password."""
    tls: TlsConfig | None = fields.section(TlsConfig, optional=True)
    """Certificates; None is a plain connection."""
    sign_key_file: Path | None = fields.path()
    """File, or name of a systemd credential, with the HMAC-SHA256 key of events; None leaves them unsigned."""
    prefix: str = fields.text("sirend", LEVELS, LEVELS_ALLOWED)
    """First part of every topic."""
    insecure: bool = fields.switch()
    """Allow a plain connection to another host."""
    keepalive_s: int = fields.number(10, 5, 300, "s", whole=True)
    """The broker declares the daemon offline after one and a half times so long without a sign of life."""


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """The local record of events."""

    path: Path | None = fields.path()
    """File; None keeps none."""
    max_mb: int = fields.number(16, 1, 4096, "MB", whole=True)
    """Size at which it is rotated; one older file is kept."""


@dataclass(frozen=True, slots=True)
class ServerTlsConfig:
    """The certificate that a server of ours shows, PEM files."""

    cert_file: Path | None = fields.path()
    """The certificate, with those between it and its authority."""
    key_file: Path | None = fields.path()
    """The key that belongs to it."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The local web page."""

    enabled: bool = fields.switch()
    """Serve it."""
    bind: str = fields.text("127.0.0.1", r"[A-Za-z0-9._:%-]{1,253}", "a host name or address")
    """Address to listen on; other than this machine only with ``token_file`` and ``tls``."""
    port: int = fields.number(8080, 1, 65535, "", whole=True)
    """TCP port."""
    token_file: Path | None = fields.path()
    """File, or name of a systemd credential, with the token that a viewer has to give; None asks for none."""
    tls: ServerTlsConfig | None = fields.section(ServerTlsConfig, optional=True)
    """Certificate of the page; None serves plain HTTP."""


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """The Prometheus endpoint."""

    enabled: bool = fields.switch()
    """Serve it."""
    bind: str = fields.text("127.0.0.1", r"[A-Za-z0-9._:%-]{1,253}", "a host name or address")
    """Address to listen on."""
    port: int = fields.number(9464, 1, 65535, "", whole=True)
    """TCP port."""


@dataclass(frozen=True, slots=True)
class ClipsConfig:
    """Recordings of what led to a call."""

    enabled: bool = fields.switch()
    """Keep them."""
    path: Path | None = fields.path()
    """Folder, which is made readable for its owner only."""
    keep: str = fields.text("audio", "audio|features", "audio or features")
    """``features`` keeps no sound: spectra averaged over a quarter of a second, in which no speech is left."""
    before_s: float = fields.number(10.0, 0.0, 60.0, "s")
    """How much is kept from before the call."""
    max_s: float = fields.number(60.0, 5.0, 900.0, "s")
    """Length of a clip at most, the part before the call not counted."""
    max_mb: int = fields.number(64, 1, 65536, "MB", whole=True)
    """Size of the folder above which the oldest go."""
    max_age_days: int = fields.number(7, 1, 365, "days", whole=True)
    """Age at which they go."""


@dataclass(frozen=True, slots=True)
class HomeAssistantConfig:
    """What Home Assistant is told, so that it finds the site by itself."""

    enabled: bool = fields.switch()
    """Publish it."""
    prefix: str = fields.text("homeassistant", LEVELS, LEVELS_ALLOWED)
    """First part of the discovery topics."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    site: str = fields.text("main-5th", NAME, NAME_ALLOWED, required=True)
    """Name of the junction, part of every topic."""
    audio: AudioConfig = fields.section(AudioConfig)
    approaches: tuple[Approach, ...] = fields.several(Approach, (Approach(),), "approaches")
    detect: DetectConfig = fields.section(DetectConfig)
    call: CallConfig = fields.section(CallConfig)
    arbitration: ArbitrationConfig = fields.section(ArbitrationConfig)
    array: ArrayConfig | None = fields.section(ArrayConfig, optional=True)
    mqtt: MqttConfig = fields.section(MqttConfig)
    journal: JournalConfig = fields.section(JournalConfig)
    web: WebConfig = fields.section(WebConfig)
    metrics: MetricsConfig = fields.section(MetricsConfig)
    clips: ClipsConfig = fields.section(ClipsConfig)
    home_assistant: HomeAssistantConfig = fields.section(HomeAssistantConfig)
    listen: ListenConfig = fields.section(ListenConfig)
