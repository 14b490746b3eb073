"""The campaign of ``make chaos``, for some seconds of a seed."""

from __future__ import annotations

import pytest
from tests.chaos.campaign import campaign


@pytest.mark.system
def test_some_seconds_of_chaos_find_nothing() -> None:
    made = campaign(minutes=0.1, seed=7, end_s=10.0)
    assert made.findings == []
    assert made.called_s > 1.0
