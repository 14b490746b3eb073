"""Which legs of the junction a siren may be called for, from its bearing at an array. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sirend.audio.stream import Samples, to_samples
from sirend.config.array import MAIN, apart_deg
from sirend.detect.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.settings import Config
    from sirend.detect.bearing import Bearing
    from sirend.detect.tracker import Track

SURE = 2
"""Windows that make a leg: one may be a reflection's."""
LOOKED_S = 1.0
"""A bearing takes three looks, a leg two bearings."""
PASSED_DEG = 90.0
"""A siren further round than that from its leg's bearing is beyond the array."""


@dataclass(frozen=True, slots=True)
class Sector:
    """The bearings of one leg."""

    approach: str
    bearing_deg: float
    """Compass bearing of its middle, 0..360."""
    half_deg: float
    """To either side of it, over 0..180."""

    def holds(self, bearing: Bearing) -> bool:
        """Return whether a siren at ``bearing`` came from it, with one sigma to spare."""
        return apart_deg(bearing.came_from_deg, self.bearing_deg) + bearing.sd_deg <= self.half_deg


@dataclass(frozen=True, slots=True)
class Sectors:
    """The legs of a site with an array."""

    legs: tuple[Sector, ...]
    unknown: frozenset[str]
    """Approaches that may call while the leg is not known: there is no bearing, or it lies between two sectors."""
    patience: Samples
    """How long a siren must have been heard before those may."""

    @classmethod
    def of(cls, config: Config) -> Sectors:
        """Return those of the approaches that have a bearing; ``array.unknown_leg`` says what holds without one.

        A siren waits ``arbitration.settle_s`` for its leg, from when a bearing could be known. Raises ``ValueError``
        where no array is configured.
        """
        if config.array is None:
            raise ValueError("no array is configured")
        legs = tuple(
            Sector(each.name, each.bearing_deg, each.width_deg / 2.0)
            for each in config.approaches
            if each.bearing_deg is not None
        )
        everyone = {each.name for each in config.approaches}
        unknown = {"hold": set[str](), "main": everyone & {MAIN}, "all": everyone}[config.array.unknown_leg]
        return cls(legs, frozenset(unknown), to_samples(LOOKED_S + config.arbitration.settle_s))

    def placed(self, track: Track, bearing: Bearing | None) -> Track:
        """Return ``track`` with ``bearing``; one that lies behind the leg's side is of a vehicle that has passed."""
        if bearing is None:
            return track
        own = [leg for leg in self.legs if leg.approach == track.approach]
        has_passed = bool(own) and apart_deg(bearing.deg, own[0].bearing_deg) - bearing.sd_deg > PASSED_DEG
        return replace(track, bearing=bearing, motion=Motion.DEPARTING if has_passed else track.motion)

    def of_bearing(self, bearing: Bearing | None) -> str | None:
        """Return the leg from whose sector a siren at ``bearing`` came, the nearest if there are two; None for none."""
        inside = [] if bearing is None else [leg for leg in self.legs if leg.holds(bearing)]
        if not inside or bearing is None:
            return None
        return min(inside, key=lambda leg: apart_deg(bearing.came_from_deg, leg.bearing_deg)).approach


@dataclass(frozen=True, slots=True)
class Leg:
    """By which leg the present siren came."""

    approach: str | None = None
    """None while it is not known."""
    windows: int = 0
    """How many windows saw it there, none between them saw it elsewhere; it is believed from ``SURE`` on."""


def follow(sectors: Sectors, leg: Leg, bearing: Bearing | None) -> Leg:
    """Return what is known of the leg after a window with a siren from ``bearing``.

    It is the first that the siren was seen on for ``SURE`` windows, and stays so while the siren is heard: one that was
    heard late is seen to leave by another leg, for which nobody must stop.
    """
    if leg.windows >= SURE:
        return leg
    seen = sectors.of_bearing(bearing)
    if seen is None:
        return leg
    return Leg(seen, leg.windows + 1 if seen == leg.approach else 1)


def allowed(sectors: Sectors, leg: Leg, heard: int) -> frozenset[str]:
    """Return the approaches that may call the present siren, which has been heard for ``heard`` samples.

    While its leg may still show nobody calls; then those do that may without one.
    """
    if leg.approach is not None and leg.windows >= SURE:
        return frozenset((leg.approach,))
    return sectors.unknown if heard >= sectors.patience else frozenset()


class Legs:
    """Follows by which leg the siren comes that an array hears, window after window."""

    def __init__(self, sectors: Sectors) -> None:
        """Tell the legs of ``sectors`` apart."""
        self._sectors = sectors
        self._leg = Leg()

    def reset(self) -> frozenset[str]:
        """Forget the siren, which is gone; return who may call without a bearing."""
        self._leg = Leg()
        return self._sectors.unknown

    def observe(self, tracks: Sequence[Track], bearing: Bearing | None) -> tuple[list[Track], frozenset[str]]:
        """Return ``tracks`` with the ``bearing`` of what they hear, and the approaches that may call for it."""
        self._leg = follow(self._sectors, self._leg, bearing)
        placed = [self._sectors.placed(track, bearing) for track in tracks]
        heard = max((track.end - track.onset for track in tracks), default=0)
        return placed, allowed(self._sectors, self._leg, heard)
