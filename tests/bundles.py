"""A model bundle without a network, for tests that bring a classifier of their own."""

from __future__ import annotations

from pathlib import Path

from sirend.detect.bundle import Bundle, Calibration, OperatingPoint
from sirend.detect.features import FeatureSpec

MODEL = Bundle(
    path=Path("models/siren-9.9.9"),
    name="siren-9.9.9@0123456789ab",
    feature_spec=FeatureSpec(),
    model_bytes=b"",
    operating=OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.5, release_s=2.0),
    calibration=Calibration(scale=1.0, offset=0.0),
    hop_s=0.25,
    digest="0" * 64,
)
