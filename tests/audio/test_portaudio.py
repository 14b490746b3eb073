from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sirend.audio import portaudio
from sirend.audio.portaudio import Input
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from pathlib import Path


def input_named(index: int, name: str, socket: str | None = None) -> Input:
    return Input(index=index, name=name, socket=socket, channels=2, rate_hz=48_000)


TWO_ALIKE = [input_named(2, "USB Audio", "usb:1-1.2"), input_named(3, "USB Audio", "usb:1-1.4")]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fake = SimpleNamespace(
        PortAudioError=RuntimeError,
        default=SimpleNamespace(device=[1, 0]),
        query_devices=lambda: [
            {"index": 0, "name": "HDMI (hw:0,3)", "max_input_channels": 0, "default_samplerate": 44_100.0},
            {"index": 1, "name": "default", "max_input_channels": 32, "default_samplerate": 44_100.0},
            {
                "index": 2,
                "name": "USB PnP: Audio (hw:1,0)",
                "max_input_channels": 1,
                "default_samplerate": 48_000.0,
            },
        ],
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.mark.usefixtures("library")
def test_inputs_are_listed_without_the_card_number() -> None:
    assert [(found.index, found.name, found.channels, found.rate_hz) for found in portaudio.inputs()] == [
        (1, "default", 32, 44_100),
        (2, "USB PnP: Audio", 1, 48_000),
    ]
    assert str(portaudio.inputs()[1]) == "'USB PnP: Audio' (1 channels, 48000 Hz)"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("wanted", "index"), [("default", 1), ("usb pnp", 2), ("USB PnP: Audio", 2)])
def test_an_input_is_chosen_by_its_name_or_a_part_of_it(wanted: str, index: int) -> None:
    assert portaudio.choose(portaudio.inputs(), wanted).index == index


def test_an_exact_name_wins_over_longer_ones() -> None:
    assert portaudio.choose([input_named(0, "pulse"), input_named(1, "pulse monitor")], "pulse").index == 0


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(DeviceError) as caught:
        portaudio.choose([input_named(0, "pulse"), input_named(1, "USB")], "webcam")
    assert str(caught.value) == (
        "audio.device 'webcam' fits no input; there are 'pulse', 'USB': plug it in, or choose one of these"
    )


@pytest.mark.parametrize("wanted", ["hw:1,0", "plughw:1", "USB PnP: Audio (hw:1,0)"])
def test_a_card_number_is_refused(wanted: str) -> None:
    with pytest.raises(ConfigError, match="has a card number, which changes with the order of plugging in"):
        portaudio.choose(TWO_ALIKE, wanted)


def test_a_usb_card_is_known_by_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "SOUND", tmp_path)
    for card, device in ((0, "0000:00:1f.3"), (1, "1-1.2:1.0")):
        (tmp_path / "devices" / device).mkdir(parents=True)
        (tmp_path / f"card{card}").mkdir()
        (tmp_path / f"card{card}" / "device").symlink_to(tmp_path / "devices" / device)
    names = ("USB Audio (hw:1,0)", "PCH (hw:0,0)", "USB Audio (hw:2,0)", "default")
    assert [portaudio.socket_of(name) for name in names] == ["usb:1-1.2", None, None, None]
    assert str(input_named(0, "USB Audio", "usb:1-1.2")) == "'USB Audio' (usb:1-1.2, 2 channels, 48000 Hz)"


def test_one_of_two_alike_is_chosen_by_its_usb_socket() -> None:
    with pytest.raises(DeviceError) as caught:
        portaudio.choose(TWO_ALIKE, "usb")
    wanted = "audio.device 'usb' fits 2 inputs; unplug all but one, or choose one of 'usb:1-1.2', 'usb:1-1.4'"
    assert str(caught.value) == wanted
    assert portaudio.choose(TWO_ALIKE, "usb:1-1.4").index == 3


def test_a_host_without_inputs_is_told_what_there_is(library: SimpleNamespace) -> None:
    library.query_devices = lambda: [{"index": 0, "name": "HDMI", "max_input_channels": 0}]
    with pytest.raises(DeviceError, match="there is no audio input; PortAudio finds 'HDMI': connect a microphone"):
        portaudio.inputs()
    library.query_devices = list
    with pytest.raises(DeviceError, match="there is no audio input; PortAudio finds no device at all"):
        portaudio.inputs()


def test_a_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match="sudo apt-get install libportaudio2"):
        portaudio.load_sounddevice()


def test_a_library_that_does_not_start_is_no_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception):\n    pass\n\n\nraise PortAudioError('Unanticipated host error')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(DeviceError, match=r"^PortAudio does not start \(Unanticipated host error\); `arecord -L`"):
        portaudio.load_sounddevice()
    (tmp_path / "sounddevice.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        portaudio.load_sounddevice()
