"""A real daemon whose microphone and network follow a script: a siren sounds while a file says so.

It prints what it says as it says it, with the time by the clock that all processes of the machine share:
``seconds state``. Told on the command line: the broker's port, the file, and the client identifier.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.bundles import MODEL
from tests.service.test_daemon import FakeMicrophone

from sirend.audio import devices
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples
from sirend.config.settings import CallConfig, Config, MqttConfig
from sirend.publish.mqtt.publisher import Mqtt
from sirend.service import daemon as service
from sirend.service import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from sirend.call.event import Event

BLOCK = SAMPLE_RATE_HZ // 4


class Script(FakeMicrophone):
    """A microphone in real time, and a classifier that hears a siren while the file says ``siren``."""

    def __init__(self, file: Path) -> None:
        super().__init__([])
        self._file = file
        self._given = 0
        self._never = threading.Event()

    def arrived(self) -> int:
        return self._given

    def __iter__(self) -> Iterator[Block]:
        noise = 0.1 * np.random.default_rng(1).standard_normal((BLOCK, 1)).astype(np.float32)
        began_s = time.monotonic()
        while True:
            self._given += BLOCK
            # Not time.sleep: libfaketime 0.9.10 makes its call of the system invalid.
            self._never.wait(max(0.0, began_s + self._given / SAMPLE_RATE_HZ - time.monotonic()))
            yield Block(Samples(self._given - BLOCK), noise)

    def score(self, _spectrogram: object) -> npt.NDArray[np.float32]:
        return np.full(1, 0.99 if self._file.read_text() == "siren" else 0.01, dtype=np.float32)


class Telling(Mqtt):
    """The daemon's way to the broker, which tells what was said."""

    def publish(self, event: Event) -> None:
        super().publish(event)
        print(f"{time.monotonic():.3f} {event.state}", flush=True)


def main() -> None:
    port, file, name, key = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    script = Script(file)

    def microphone(*_: Any) -> Script:  # noqa: ANN401
        return script

    vars(devices).update(Microphone=microphone)
    vars(inputs).update(Classifier=lambda *_: script)
    vars(service).update(Mqtt=Telling)
    config = Config(
        call=CallConfig(
            min_duration_s=1.0, max_presence_s=900.0, max_calls_per_hour=720, rearm_gap_s=1.0, advisory=False
        ),
        mqtt=MqttConfig(port=port, client_id=name, sign_key_file=key),
    )
    service.Service(config, MODEL, threading.Event()).run()


if __name__ == "__main__":
    main()
