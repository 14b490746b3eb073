from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import MQTTProtocolVersion

from sirend.publish.mqtt.dialect import UNSUPPORTED, Dialect

OLD = MQTTProtocolVersion.MQTTv311


def test_one_that_says_so_is_spoken_to_in_3_1_1_at_once_and_asked_again_when_it_comes_back() -> None:
    dialect = Dialect()
    assert dialect.rejected(UNSUPPORTED)
    assert (dialect.protocol, dialect.is_guessed()) == (OLD, False)
    dialect.accepted()
    dialect.ended()
    assert dialect.is_5


def test_one_that_hangs_up_twice_may_be_old_which_is_a_guess() -> None:
    dialect = Dialect()
    assert not dialect.rejected(None)
    assert dialect.is_5
    assert not dialect.rejected(None)
    assert dialect.is_guessed()
    dialect.settle_for(OLD)
    dialect.accepted()
    dialect.ended()
    assert not dialect.rejected(None)
    assert dialect.is_guessed(), "the second time once is enough"


@pytest.mark.parametrize("answer", ["Not authorized", None])
@given(times=st.integers(1, 50))
def test_one_that_spoke_mqtt_5_before_is_in_trouble_and_not_old(answer: str | None, times: int) -> None:
    dialect = Dialect()
    dialect.accepted()
    for _ in range(times):
        assert not dialect.rejected(answer)
        assert dialect.is_5


@given(st.lists(st.sampled_from([None, UNSUPPORTED, "Not authorized"]), max_size=20))
def test_one_that_was_never_heard_is_asked_for_each_in_turn(answers: list[str | None]) -> None:
    dialect = Dialect()
    for answer in [*answers, None, None, None, None]:
        dialect.rejected(answer)
    spoken = set()
    for _ in range(4):
        dialect.rejected(None)
        spoken.add(dialect.protocol)
    assert spoken == {MQTTProtocolVersion.MQTTv5, OLD}
