from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sirend import portaudio
from sirend.errors import ConfigError, DeviceError
from sirend.portaudio import Input


def input_named(index: int, name: str, full_name: str | None = None) -> Input:
    return Input(index=index, name=name, full_name=full_name or name, channels=2, rate_hz=48_000)


TWO_ALIKE = [input_named(2, "USB Audio", "USB Audio (hw:1,0)"), input_named(3, "USB Audio", "USB Audio (hw:2,0)")]


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
@pytest.mark.parametrize(
    ("wanted", "index"), [("default", 1), ("usb pnp", 2), ("USB PnP: Audio", 2), ("USB PnP: Audio (hw:1,0)", 2)]
)
def test_an_input_is_chosen_by_its_name_or_a_part_of_it(wanted: str, index: int) -> None:
    assert portaudio.choose(portaudio.inputs(), wanted).index == index


def test_an_exact_name_wins_over_longer_ones() -> None:
    assert portaudio.choose([input_named(0, "pulse"), input_named(1, "pulse monitor")], "pulse").index == 0


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        portaudio.choose([input_named(0, "pulse"), input_named(1, "USB")], "webcam")
    assert str(caught.value) == "audio.device: 'webcam' fits no input; choose one of 'pulse', 'USB'"


def test_a_name_that_several_inputs_share_must_be_given_in_full() -> None:
    with pytest.raises(ConfigError) as caught:
        portaudio.choose(TWO_ALIKE, "usb")
    assert caught.value.problems == ("'usb' fits 2 inputs; choose one of 'USB Audio (hw:1,0)', 'USB Audio (hw:2,0)'",)
    assert portaudio.choose(TWO_ALIKE, "USB Audio (hw:2,0)").index == 3


def test_a_host_without_inputs_is_told_what_there_is(library: SimpleNamespace) -> None:
    library.query_devices = lambda: [{"index": 0, "name": "HDMI", "max_input_channels": 0}]
    with pytest.raises(DeviceError, match="there is no audio input; PortAudio finds 'HDMI': connect a microphone"):
        portaudio.inputs()
    library.query_devices = list
    with pytest.raises(DeviceError, match="there is no audio input; PortAudio finds no device at all"):
        portaudio.inputs()


def test_a_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match="sudo apt install libportaudio2"):
        portaudio.load()
