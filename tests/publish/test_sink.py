import errno
import io
import os

import pytest

from sirend.call.clock import ReplayClock
from sirend.call.event import Event, to_json
from sirend.call.scribe import Scribe
from sirend.errors import DeviceError
from sirend.publish.sink import JsonLines, Sink


def _event(*, refresh: bool = False) -> Event:
    scribe = Scribe(site="s", boot_id="b", mode="replay", model="m", clock=ReplayClock(), valid_for_s=5.0)
    event = scribe.initial("main")
    return event if refresh else Event(**{name: getattr(event, name) for name in event.__slots__} | {"refresh": False})


def _publish(sink: Sink, *events: Event) -> None:
    with sink:
        for event in events:
            sink.publish(event)


def test_each_change_of_state_is_a_line_at_once() -> None:
    stream = io.StringIO()
    _publish(JsonLines(stream), _event(), _event(refresh=True), _event())
    assert stream.getvalue() == (to_json(_event()) + "\n") * 2
    assert not stream.closed


def test_a_full_disk_is_told_of() -> None:
    class Full(io.StringIO):
        name = "out.jsonl"

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DeviceError, match=r"^out\.jsonl: events cannot be written: No space left on device; free some"):
        _publish(JsonLines(Full()), _event())


def test_a_reader_that_went_away_is_no_fault_of_the_output() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        _publish(JsonLines(Closed()), _event())
