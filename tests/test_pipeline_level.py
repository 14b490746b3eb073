"""A microphone that is far too quiet, in the pipeline with the network that ships."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.call.state import CallState
from sirend.detect import bundle
from sirend.detect.classifier import Classifier
from sirend.simulate.background import synthetic_street
from sirend.simulate.scene import Scene, render_scene
from sirend.training.hearing import events_of_stream

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm
    from sirend.detect.bundle import Bundle

STREET_S = 240
DRIVE = Scene(start_m=400.0, speed_kmh=50.0, snr_db=20.0, seed=4)


@pytest.fixture(scope="module")
def day() -> Pcm:
    """Return minutes of street, and then a drive in it at the same level."""
    drive = render_scene(DRIVE).pcm
    street = synthetic_street(STREET_S * SAMPLE_RATE_HZ, np.random.default_rng(3))
    alone = float(np.sqrt(np.mean(np.square(drive[: 2 * SAMPLE_RATE_HZ]))))
    return np.concatenate((alone * street, drive))


def _called_s(model: Bundle, pcm: Pcm) -> list[float]:
    """Return when calls begin, in s since the drive began."""
    events = events_of_stream(model, Classifier(model), [pcm])
    began = [event for event in events if event.state is CallState.APPROACHING and not event.refresh]
    return [event.sample / SAMPLE_RATE_HZ - STREET_S for event in began]


QUIETER = np.float32(10.0 ** (-30.0 / 20.0))


def test_a_microphone_far_too_quiet_hears_a_siren_as_early_once_its_street_is_known(day: Pcm) -> None:
    model = bundle.load(bundle.find(None))
    deaf = replace(model, streaming=replace(model.streaming, site_gain=None))
    first, of_quiet, of_deaf = (
        min(_called_s(of, pcm), default=np.inf)
        for of, pcm in ((model, day), (model, QUIETER * day), (deaf, QUIETER * day))
    )
    assert of_quiet == pytest.approx(first, abs=1.0)
    assert of_deaf > first + 8.0, "26.25 s instead of 11.25"
