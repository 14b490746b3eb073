"""PortAudio's inputs: the library loaded only when sound is captured, and devices chosen by a name that stays.

``sounddevice`` loads the PortAudio library while it is imported, so it is imported here, late: replay must not need it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sirend.errors import ConfigError, DeviceError


@dataclass(frozen=True, slots=True)
class Input:
    """A device that can record."""

    index: int
    """PortAudio's number; valid until the library is started again."""
    name: str
    """Name without ALSA's card number, which changes with the order in which devices were plugged in."""
    full_name: str
    """Name as PortAudio gives it."""
    channels: int
    """Most channels it can record."""
    rate_hz: int
    """Sample rate it prefers."""

    def __str__(self) -> str:
        """Return a line for a list of devices."""
        return f"{self.name!r} ({self.channels} channels, {self.rate_hz} Hz)"


def load() -> Any:  # noqa: ANN401  the package has no types
    """Return the module ``sounddevice``; raise ``DeviceError`` when the PortAudio library is missing."""
    try:
        import sounddevice  # noqa: PLC0415  importing it loads the library
    except (ImportError, OSError) as error:
        raise DeviceError(f"cannot load PortAudio ({error}); install it: sudo apt install libportaudio2") from error
    return sounddevice


def restart() -> None:
    """Make PortAudio look for devices again; it does so only when it starts. No stream may be open."""
    sounddevice = load()
    # The package offers no public way (its issue tracker recommends this one).
    sounddevice._terminate()  # noqa: SLF001
    sounddevice._initialize()  # noqa: SLF001


def inputs() -> list[Input]:
    """Return the devices that can record; raise ``DeviceError`` when there is none or the host's audio is down."""
    sounddevice = load()
    try:
        devices = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"cannot list audio devices: {error}") from error
    found = [
        Input(
            index=device["index"],
            name=re.sub(r" \((plug)?hw:[^)]*\)$", "", device["name"]),
            full_name=device["name"],
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

    ``default`` is the host's default input. Raises ``ConfigError`` when none or several fit.
    """
    if wanted == "default":
        default = load().default.device[0]
        for device in devices:
            if device.index == default:
                return device
    low = wanted.lower()
    exact = [device for device in devices if low in (device.name.lower(), device.full_name.lower())]
    fitting = exact or [device for device in devices if low in device.full_name.lower()]
    if len(fitting) == 1:
        return fitting[0]
    fault = f"fits {len(fitting)} inputs" if fitting else "fits no input"
    shown = [device.full_name if len(fitting) > 1 else device.name for device in fitting or devices]
    raise ConfigError("audio.device", [f"{wanted!r} {fault}; choose one of {', '.join(map(repr, shown))}"])
