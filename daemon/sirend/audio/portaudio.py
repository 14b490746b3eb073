"""PortAudio's inputs: the library loaded only when sound is captured, and devices chosen by a name that stays.

``sounddevice`` loads the PortAudio library while it is imported, so it is imported here, late: replay must not need it.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CARD = re.compile(r" ?\(?(plug)?hw:([^)]*)\)?$")
"""ALSA's address of a card, which PortAudio puts behind the name."""
SOUND = Path("/sys/class/sound")
USB = re.compile(r"(\d+-\d+(\.\d+)*):\d+\.\d+")
"""A USB interface in sysfs: bus, ports from hub to hub, configuration and interface."""

_DOES_NOT_START = "PortAudio does not start ({}); `arecord -L` shows whether ALSA's configuration can be read"


@dataclass(frozen=True, slots=True)
class Input:
    """A device that can record."""

    index: int
    """PortAudio's number; valid until the library is started again."""
    name: str
    """Name without ALSA's card number, which changes with the order in which devices were plugged in."""
    socket: str | None
    """USB socket that it is plugged into, such as ``usb:1-1.2``; None for what is no USB card."""
    channels: int
    """Most channels it can record."""
    rate_hz: int
    """Sample rate it prefers."""

    def __str__(self) -> str:
        """Return a line for a list of devices."""
        place = "" if self.socket is None else f"{self.socket}, "
        return f"{self.name!r} ({place}{self.channels} channels, {self.rate_hz} Hz)"


def load_sounddevice() -> Any:  # noqa: ANN401  the package has no types
    """Return the module ``sounddevice``; raise ``DeviceError`` when the PortAudio library is missing or fails."""
    try:
        import sounddevice  # noqa: PLC0415  importing it loads the library and starts it
    except (ImportError, OSError) as error:
        raise DeviceError(f"cannot load PortAudio ({error}): sudo apt-get install libportaudio2") from error
    except Exception as error:
        if type(error).__name__ != "PortAudioError":  # the class is in the very module that did not come
            raise
        raise DeviceError(_DOES_NOT_START.format(error)) from error
    return sounddevice


def restart() -> None:
    """Make PortAudio look for devices again; it does so only when it starts. No stream may be open.

    Raises ``DeviceError`` when it does not start.
    """
    sounddevice = load_sounddevice()
    # The package offers no public way (its issue tracker recommends this one).
    try:
        if sounddevice._initialized:  # noqa: SLF001  it is not after a start that failed
            sounddevice._terminate()  # noqa: SLF001
        sounddevice._initialize()  # noqa: SLF001
    except sounddevice.PortAudioError as error:
        raise DeviceError(_DOES_NOT_START.format(error)) from error


def cards() -> frozenset[str]:
    """Return the sound cards that the kernel has now, each with its number and its place, in no form for people."""
    return frozenset(f"{card.name} {(card / 'device').resolve()}" for card in SOUND.glob("card*"))


def socket_of(full_name: str) -> str | None:
    """Return the USB socket, ``usb:1-1.2``, of the card in a name that PortAudio gives; None where it is none."""
    card = CARD.search(full_name)
    if card is None:
        return None
    interface = USB.fullmatch((SOUND / f"card{card[2].partition(',')[0]}" / "device").resolve().name)
    return None if interface is None else f"usb:{interface[1]}"


def inputs() -> list[Input]:
    """Return the devices that can record; raise ``DeviceError`` when there is none or the host's audio is down."""
    sounddevice = load_sounddevice()
    try:
        devices = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"cannot list audio devices: {error}") from error
    found = [
        Input(
            index=device["index"],
            name=CARD.sub("", device["name"]),
            socket=socket_of(device["name"]),
            channels=device["max_input_channels"],
            rate_hz=round(device["default_samplerate"]),
        )
        for device in devices
        if device["max_input_channels"] > 0
    ]
    if not found:
        outputs = ", ".join(repr(device["name"]) for device in devices) or "no device at all"
        raise DeviceError(f"there is no audio input; PortAudio finds {outputs}: connect a microphone, see `arecord -l`")
    return found


def choose(devices: list[Input], wanted: str) -> Input:
    """Return the device whose name is ``wanted`` or, alone, contains it; the case of letters does not matter.

    ``usb:1-1.2`` is the one in that USB socket, ``default`` the host's default input. Raises ``DeviceError`` when none
    fits, for it may be plugged in, or found by the kernel, later, or when several do, for one may be too many only now;
    ``ConfigError`` when ``wanted`` names an ALSA card by its number.
    """
    if CARD.search(wanted):
        problem = f"{wanted!r} has a card number, which changes with the order of plugging in; give name or USB socket"
        raise ConfigError("audio.device", [problem])
    if wanted == "default":
        default = load_sounddevice().default.device[0]
        for device in devices:
            if device.index == default:
                return device
    low = wanted.lower()
    exact = [device for device in devices if low in (device.name.lower(), device.socket)]
    fitting = exact or [device for device in devices if low in device.name.lower()]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        shown = ", ".join(repr(device.name) for device in devices)
        raise DeviceError(
            f"audio.device {wanted!r} fits no input; there are {shown}: plug it in, or choose one of these"
        )
    shown = ", ".join(repr(device.socket or device.name) for device in fitting)
    raise DeviceError(
        f"audio.device {wanted!r} fits {len(fitting)} inputs; unplug all but one, or choose one of {shown}"
    )


@contextmanager
def named_errors(chosen: Input) -> Iterator[None]:
    """Raise PortAudio's errors as ``DeviceError`` that names the device."""
    try:
        yield
    except load_sounddevice().PortAudioError as error:
        raise DeviceError(f"cannot record from {chosen}: {error.args[0]}") from error


def rate_hz(chosen: Input, channels: int, wanted_hz: int) -> int:
    """Return ``wanted_hz`` when the device can, which spares the resampling, else the rate it prefers."""
    sounddevice = load_sounddevice()
    try:
        sounddevice.check_input_settings(device=chosen.index, channels=channels, dtype="float32", samplerate=wanted_hz)
    except sounddevice.PortAudioError:
        return chosen.rate_hz
    return wanted_hz


def stream(chosen: Input, channels: int, rate_hz: int, frames: int, callback: Callable[..., None] | None) -> Any:  # noqa: ANN401
    """Return an input stream, not started, of float32[frames, channels] a call; with None it is read from instead."""
    return load_sounddevice().InputStream(
        device=chosen.index,
        channels=channels,
        samplerate=rate_hz,
        blocksize=frames,
        latency="high",
        dtype="float32",
        callback=callback,
    )
