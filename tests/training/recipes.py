"""A recipe of a network over eight seconds that is made in a moment."""

from sirend.detect.bundle import OperatingPoint
from sirend.training.recipe import Recipe
from sirend.training.specs import TemporalSpec

TEMPORAL = TemporalSpec(units=8, evidence_memory_s=1.5, suspect=-1.5)
RECIPE = Recipe(
    name="siren-9.9.9",
    temporal=TEMPORAL,
    operating_point=OperatingPoint(0.8, 0.4, 0.75, 3.0),
    strict=OperatingPoint(0.9, 0.5, 1.0, 3.0),
)
