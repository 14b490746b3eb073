from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.config.reload import RELOADABLE, changes, merge
from sirend.config.settings import AudioConfig, CallConfig, Config, DetectConfig, Inhibit, MqttConfig, TlsConfig

OLD = Config()


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        (OLD, []),
        (replace(OLD, site="other"), ["site"]),
        (replace(OLD, audio=AudioConfig(stall_s=2.0), mqtt=MqttConfig(port=1)), ["audio.stall_s", "mqtt.port"]),
        (replace(OLD, mqtt=MqttConfig(tls=TlsConfig())), ["mqtt.tls"]),
        (replace(OLD, call=CallConfig(inhibit=(Inhibit(),))), ["call.inhibit"]),
    ],
)
def test_changed_keys_are_named(new: Config, keys: list[str]) -> None:
    assert list(changes(OLD, new)) == keys


@given(st.floats(1.0, 300.0), st.integers(1, 720), st.floats(0.0, 10.0), st.integers(1, 65535), st.floats(0.01, 0.99))
def test_what_can_be_taken_up_is_and_nothing_else(
    duration_s: float, calls: int, confirm_s: float, port: int, enter: float
) -> None:
    new = replace(
        OLD,
        call=CallConfig(min_duration_s=duration_s, max_calls_per_hour=calls, advisory=True),
        detect=DetectConfig(confirm_s=confirm_s, enter=enter),
        mqtt=MqttConfig(port=port),
    )
    merged, taken, left = merge(OLD, new)
    assert set(taken) <= RELOADABLE
    assert set(taken) | set(left) == set(changes(OLD, new))
    assert sorted(changes(OLD, merged)) == sorted(taken)
    assert sorted(changes(merged, new)) == sorted(left)
    assert {"call.advisory", "detect.enter"} <= set(left)
