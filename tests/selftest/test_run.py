from __future__ import annotations

import io
import json
import os
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.bundles import MODEL

from sirend.config.settings import Approach, AudioConfig, CallConfig, Config, DetectConfig, Inhibit
from sirend.selftest.result import SelfTestResult
from sirend.selftest.run import SCENE, main, selftest
from sirend.simulate.scene import Rendered, render_scene

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from sirend.detect.features import Spectrogram

TWO = Config(
    audio=AudioConfig(channels=2),
    approaches=(Approach(name="north"), Approach(name="south", channel=1)),
    call=CallConfig(inhibit=(Inhibit(),)),
)


class Between:
    """A classifier that hears a siren on its approaches in the windows from each ``first`` to ``last``."""

    def __init__(self, *spans: tuple[int, int], approaches: int = 1, deaf: int | None = None) -> None:
        self._approaches, self._spans, self._deaf = approaches, spans, deaf
        self._window = 0

    def score(self, _spectrogram: Spectrogram) -> npt.NDArray[np.float32]:
        self._window += 1
        heard = any(first <= self._window <= last for first, last in self._spans)
        scores = np.full(self._approaches, 0.97 if heard else 0.02, dtype=np.float32)
        if self._deaf is not None:
            scores[self._deaf] = 0.02
        return scores


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return render_scene(SCENE)


def test_a_model_that_hears_the_siren_and_its_end_passes_whatever_the_schedule_forbids(rendered: Rendered) -> None:
    result = selftest(TWO, MODEL, Between((60, 85), approaches=2), rendered)
    assert result.problem is None
    assert result.confidence is not None
    assert result.confidence > 0.6
    assert result.delay_s is not None
    payload = result.payload("main-5th", MODEL.name)
    assert (payload["passed"], payload["problem"], payload["site"]) == (True, None, "main-5th")
    json.dumps(payload)


@pytest.mark.parametrize(
    ("scorer", "problem"),
    [
        (Between(), "main: the built-in siren was not heard"),
        (Between((1, 12)), "main: a call was made before there was a siren"),
        (Between((60, 70), (95, 105)), "main: one call and its end were due, not 4 changes of state"),
    ],
)
def test_what_goes_wrong_is_named(scorer: Between, problem: str, rendered: Rendered) -> None:
    result = selftest(Config(call=CallConfig(min_duration_s=1.0)), MODEL, scorer, rendered)
    assert result == SelfTestResult(problem)
    assert result.payload("main-5th", MODEL.name)["passed"] is False


def test_a_deaf_approach_is_named(rendered: Rendered) -> None:
    scorer = Between((60, 85), approaches=2, deaf=1)
    assert selftest(TWO, MODEL, scorer, rendered) == SelfTestResult("south: the built-in siren was not heard")


def test_the_process_tells_its_parent_why_nothing_could_be_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(detect=DetectConfig(model=tmp_path / "siren-9.9.9"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(pickle.dumps(config))))
    monkeypatch.setattr(os, "setpriority", lambda *_: None)
    main()
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["schema"], told["site"]) == (False, "sirend/selftest/1", "main-5th")
    assert str(tmp_path / "siren-9.9.9") in told["problem"]
