from __future__ import annotations

import numpy as np
import pytest

from sirend.detect.frames import framed


@pytest.mark.parametrize(
    ("samples", "length", "step"), [(400, 400, 160), (1_000, 400, 160), (1_001, 400, 1), (9, 2, 7)]
)
def test_its_frames_are_those_of_a_sliding_window(samples: int, length: int, step: int) -> None:
    pcm = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    every = np.lib.stride_tricks.sliding_window_view(pcm, length, axis=-1)[:, ::step]
    np.testing.assert_array_equal(framed(pcm, length, step), every)
    np.testing.assert_array_equal(framed(pcm[::-1], length, step), every[::-1])  # whatever lies in memory how
    np.testing.assert_array_equal(framed(pcm[0], length, step), every[0])


def test_too_little_sound_has_no_frame() -> None:
    with pytest.raises(ValueError, match="399 samples have no frame of 400"):
        framed(np.zeros((1, 399), np.float32), 400, 160)
