"""A recipe of a network over eight seconds that is made in a moment."""

from sirend.detect.bundle import OperatingPoint
from sirend.detect.site_gain import SiteGainSpec
from sirend.training.recipe import Recipe
from sirend.training.specs import TemporalSpec, WakeSpec

TEMPORAL = TemporalSpec(units=8, evidence_memory_s=1.5, suspect=-1.5)
SITE_GAIN = SiteGainSpec(target_rms=2.0, prior_s=60.0, memory_s=600.0, low_db=-10.0, high_db=30.0, tolerance_db=12.0)
WAKE = WakeSpec(over=-2.0, over_sparing=-1.75, hold_s=1.5, back=1, filters=2, epochs=1, batch=32)
RECIPE = Recipe(
    name="siren-9.9.9",
    temporal=TEMPORAL,
    operating_point=OperatingPoint(0.8, 0.4, 0.75, 3.0),
    strict=OperatingPoint(0.9, 0.5, 1.0, 3.0),
    site_gain=SITE_GAIN,
    wake=WAKE,
)
