from __future__ import annotations

import pytest

from sirend.call.eta import Eta, eta_of

TOLD = {"state": "approaching", "eta_s": 6.4, "eta_low_s": 4, "eta_high_s": 8.5}


def test_the_time_of_a_call_is_told_in_whole_seconds() -> None:
    assert eta_of(TOLD) == Eta(6.4, 4, 8.5)
    assert str(eta_of(TOLD)) == "nearest in 6 s (4 to 9)"


@pytest.mark.parametrize("key", ["eta_s", "eta_low_s", "eta_high_s"])
@pytest.mark.parametrize("value", [None, True, False, "6", -0.1, float("nan"), float("inf"), 3600.0, [6.0]])
def test_what_is_no_time_is_not_told(key: str, value: object) -> None:
    assert eta_of({**TOLD, key: value}) is None


@pytest.mark.parametrize("state", ["clear", None, True])
def test_without_a_call_there_is_none(state: object) -> None:
    assert eta_of({**TOLD, "state": state}) is None
