"""A model bundle without networks, for tests that bring a classifier of their own, or networks to put in."""

from __future__ import annotations

from pathlib import Path

from sirend.detect.bundle import Bundle, Calibration, Head, OperatingPoint, Patches, Streaming
from sirend.detect.features import FeatureSpec

MODEL = Bundle(
    path=Path("models/siren-9.9.9"),
    name="siren-9.9.9@0123456789ab",
    feature_spec=FeatureSpec(),
    model_bytes=b"",
    streaming=Streaming(
        patches=Patches(b"", patch_frames=96, outputs=132, step_s=0.25),
        head=Head(places=15, spacing_s=0.5, inputs=128),
        evidence=None,
        suspect=None,
        site_gain=None,
    ),
    operating=OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.5, release_s=2.0),
    strict=OperatingPoint(enter=0.8, exit=0.6, confirm_s=0.5, release_s=2.0),
    calibration=Calibration(scale=1.0, offset=0.0),
    hop_s=0.25,
    digest="0" * 64,
)
