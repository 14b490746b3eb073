"""What the stream of each input of a site passes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirend.audio.routing import columns, pickups, rows_of
from sirend.call.schedule import schedule
from sirend.detect.classifier import Classifier
from sirend.pipeline import Stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.call.clock import LiveClock
    from sirend.call.scribe import Scribe
    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle


def stages_of(config: Config, bundle: Bundle, scribe: Scribe, clocks: Sequence[LiveClock]) -> list[Stages]:
    """Return the stages of each input of ``config``, in their order; ``clocks`` tell of their samples.

    Raises ``ConfigError`` when configuration and model contradict each other.
    """
    parts = pickups(config)
    # A network holds no state between windows, so inputs of as many approaches share one.
    rows = [rows_of(config, pickup.approaches) for pickup in parts]
    networks = {size: Classifier(bundle, size) for size in rows}
    site = Stages.of(
        config,
        bundle,
        networks[rows[0]],
        scribe,
        channels=columns(config),
        is_inhibited=schedule(config.call.inhibit, clocks[0]),
    )
    if len(parts) == 1:
        return [site]
    return [
        site.of_device(
            networks[rows_of(config, pickup.approaches)],
            scribe.beside(clock),
            pickup.approaches,
            to_site=clock.uptime,
            is_inhibited=schedule(config.call.inhibit, clock),
        )
        for pickup, clock in zip(parts, clocks, strict=True)
    ]
