"""sirend hears an emergency vehicle's siren at a road junction and tells the signal controller."""

__version__ = "0.1.0"
