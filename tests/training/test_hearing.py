from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.training.hearing import score_stream
from sirend.training.peer import FRAME, Peer

PEER = Path(os.environ.get("SIREND_RECORDINGS", Path(__file__).parents[3] / "shared" / "data")).parent / "peers"


@pytest.mark.parametrize("cuts", [(), (500,), (40_000, 40_001, 70_000)])
def test_a_stream_in_pieces_is_heard_as_one(cuts: tuple[int, ...]) -> None:
    pcm = (0.1 * np.random.default_rng(0).standard_normal(6 * 16_000)).astype(np.float32)
    bundle = bundles.load(bundles.find(None))
    whole = score_stream(bundle, Classifier(bundle), [pcm])
    pieces = score_stream(bundle, Classifier(bundle), np.split(pcm, cuts))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert len(whole[0]) == 17


def test_a_short_sound_is_heard_after_silence() -> None:
    bundle = bundles.load(bundles.find(None))
    end_s, _, _ = score_stream(bundle, Classifier(bundle), [np.zeros(100, dtype=np.float32)] * 2)
    assert end_s.tolist() == [2.0]


@pytest.mark.recordings
def test_the_peer_hears_pieces_as_one() -> None:
    pcm = (0.1 * np.random.default_rng(0).standard_normal(4 * FRAME)).astype(np.float32)
    peer = Peer(PEER / "yamnet.tflite")
    for one, other in zip(peer.scores([pcm]), peer.scores(np.split(pcm, [100, 20_000])), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert len(peer.scores([pcm[:100]])[0]) == 1
