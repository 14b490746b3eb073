"""The manifest of a bundle that follows a stream, with every field that there is."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from sirend.detect.features import FeatureSpec

HEAD, BACKBONE, WAKE = b"stands for a head", b"stands for a backbone", b"stands for what wakes it"
MANIFEST: dict[str, Any] = {
    "schema": "sirend/manifest/2",
    "name": "siren-2.0.0",
    "features": asdict(FeatureSpec()),
    "features_digest": FeatureSpec().digest,
    "model_sha256": hashlib.sha256(HEAD).hexdigest(),
    "output": "logit",
    "backbone": {
        "file": "backbone.tflite",
        "sha256": hashlib.sha256(BACKBONE).hexdigest(),
        "patch_frames": 96,
        "outputs": 132,
        "step_s": 0.25,
    },
    "head": {"places": 15, "spacing_s": 0.5, "inputs": 128},
    "evidence": {"first": 128, "count": 4, "weight": 0.35},
    "suspect": -2,
    "wake": {
        "file": "wake.tflite",
        "sha256": hashlib.sha256(WAKE).hexdigest(),
        "over": -2.5,
        "over_sparing": -2.25,
        "hold_s": 2,
        "back": 2,
    },
    "site_gain": {"target_rms": 1.4, "prior_s": 30, "memory_s": 120, "low_db": -20, "high_db": 40, "tolerance_db": 12},
    "calibration": {"scale": 0.8, "offset": -0.5},
    "operating_points": {
        "balanced": {"enter": 0.7, "exit": 0.4, "confirm_s": 0.5, "release_s": 3},
        "strict": {"enter": 0.9, "exit": 0.6, "confirm_s": 1, "release_s": 2},
    },
    "hop_s": 0.25,
    "recipe_sha256": "0" * 64,
    "min_sirend": "0.1.0",
}
