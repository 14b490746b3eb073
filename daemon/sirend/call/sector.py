"""Which legs of the junction a siren may be called for, from its bearing at an array. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sirend.audio.stream import Samples, to_samples
from sirend.config.array_settings import MAIN, apart_deg
from sirend.detect.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.settings import Config
    from sirend.detect.bearing import Bearing
    from sirend.detect.tracker import Track

SURE = 3
"""Windows that make a leg: one may be a reflection's, and every second bearing is the one before carried on."""
LOOKED_S = 1.0
"""A bearing takes half a second of looks, a leg two bearings."""
PASSED_DEG = 90.0
"""A siren further round than that from its leg's bearing is beyond the array."""
PASSES_DEG_S = 20.0
"""A bearing that turns faster is of a vehicle that passes: 5 m aside with 50 km/h it does within 14 m of the array."""
PASSING = 2
"""So many bearings in a row turn like that when it is so: one may be made of few looks, and of a reflection's."""
FADED_DB = 2.5
"""A siren so far under its loudest may have passed: 3 s after that it loses as much in a second."""
NEARED_DB = 5.0
"""What became so much louder later came nearer: in the second before it passes a siren gains 10 dB and more, and over a
second the tones of one that stands differ by 3."""
LEAPS_DEG = 35.0
"""A siren that is seen so far from where the one that passed drives to, and did not turn there, is another."""
VEERS_DEG = 20.0
"""The one that passed drives on where it is seen so near to where it drove to: roads bend."""
TURNS_ROUND = 5
"""So many bearings in a row turn when a second siren passes; those that one leaps by are fewer, for looks at two sirens
lie on a line that seems to turn for half a second."""
SECOND = 6
"""Windows that make a second siren, 1.5 s: an echo of the first is seen for less."""
RISES_DB = 2.0
"""By so much a second siren becomes louder where it is seen to stay: at 50 km/h in a second, 4 s before it passes. What
leaves fades, and a bearing that leaps between two that leave is of neither's coming."""
PASSED = to_samples(10.0)
"""For so long after a vehicle has passed a siren is held to be that one leaving, unless it comes nearer."""


@dataclass(frozen=True, slots=True)
class Sector:
    """The bearings of one leg."""

    approach: str
    bearing_deg: float
    """Compass bearing of its middle, 0..360."""
    half_deg: float
    """To either side of it, over 0..180."""

    def holds(self, bearing: Bearing) -> bool:
        """Return whether a siren at ``bearing`` is in it, with one sigma to spare."""
        return apart_deg(bearing.deg, self.bearing_deg) + bearing.sd_deg <= self.half_deg


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
        if bearing is None or track.onset == track.end:
            return track
        has_passed = self.is_behind(track.approach, bearing)
        return replace(track, bearing=bearing, motion=Motion.DEPARTING if has_passed else track.motion)

    def is_behind(self, approach: str | None, bearing: Bearing) -> bool:
        """Return whether a siren at ``bearing`` lies behind the side of the leg ``approach``; never for one without."""
        own = (leg for leg in self.legs if leg.approach == approach)
        return any(apart_deg(bearing.deg, leg.bearing_deg) - bearing.sd_deg > PASSED_DEG for leg in own)

    def of_bearing(self, bearing: Bearing | None) -> str | None:
        """Return the leg in whose sector a siren at ``bearing`` is, the nearest if there are two; None for none."""
        inside = [] if bearing is None else [leg for leg in self.legs if leg.holds(bearing)]
        if not inside or bearing is None:
            return None
        return min(inside, key=lambda leg: apart_deg(bearing.deg, leg.bearing_deg)).approach


@dataclass(frozen=True, slots=True)
class Second:
    """Another siren, as it seems, that is heard after the first one has passed."""

    approach: str
    since: Samples
    """The end of the first window that saw it there."""
    windows: int = 1
    """How many did, none between them saw it elsewhere."""
    level_dbfs: float | None = None
    """How loud it was when that was first known."""


@dataclass(frozen=True, slots=True)
class Leg:
    """By which leg the present siren came."""

    approach: str | None = None
    """None while it is not known."""
    windows: int = 0
    """How many windows saw it there, none between them saw it elsewhere; it is believed from ``SURE`` on."""
    passed: Samples | None = None
    """When a vehicle was seen to pass: what is heard then drives away, whether its leg is known or not."""
    turned: int = 0
    """How many bearings in a row turned as one that passes."""
    leaves_deg: float | None = None
    """Where the vehicle is that came by a known leg, once it lies behind that leg's side."""
    left: int = 0
    """How many windows saw it there, one after the other, up to ``SURE``: an echo from behind is no pass."""
    second: Second | None = None
    since: Samples | None = None
    """Since when the siren is heard, where another one passed before it; None: since there is any."""

    @property
    def is_known(self) -> bool:
        """Whether it is believed."""
        return self.windows >= SURE


def follow(
    sectors: Sectors, leg: Leg, bearing: Bearing | None, *, motion: Motion = Motion.UNKNOWN, is_believed: bool = True
) -> Leg:
    """Return what is known of the leg after a window with what is heard from ``bearing``, a siren if ``is_believed``.

    It is the first that the siren was seen on for ``SURE`` windows, and stays so while the siren is heard: one that was
    heard late is seen to leave by another leg, for which nobody must stop. So no bearing counts that turns as one does
    that passes, or of a siren that has faded, and none after these; nor does ``motion`` away from the array. But one
    that was known before the siren passed is the one by which it came. A wrong leg is worse than none. Of a siren that
    was seen to pass the bearing does not leap to another leg and become louder there: that is a second one's.
    """
    if bearing is None or (leg.is_known and is_believed):
        return leg if bearing is None else _after_pass(sectors, leg, bearing)
    comes = motion is Motion.APPROACHING or bearing.nears_db >= NEARED_DB
    turned = leg.turned + 1 if _turns(bearing) else 0
    if turned or motion is Motion.DEPARTING:
        has_passed = turned >= PASSING or motion is Motion.DEPARTING
        passed = bearing.end if has_passed else leg.passed
        return replace(leg, passed=passed, turned=turned) if leg.is_known else Leg(passed=passed, turned=turned)
    leg = replace(leg, turned=0)
    if leg.passed is not None and bearing.end - leg.passed < PASSED and not comes:
        return leg
    seen = sectors.of_bearing(bearing)
    if seen is None or (bearing.below_db > FADED_DB and not comes):
        return leg
    if leg.is_known and seen != leg.approach:  # it passed unseen, or there is another; which, nobody can tell yet
        return Leg(passed=bearing.end)
    return Leg(seen, leg.windows + 1 if seen == leg.approach else 1)


def _turns(bearing: Bearing) -> bool:
    """Return whether it turns as that of a vehicle that passes, with one sigma to spare."""
    return abs(bearing.turning_deg_s) - bearing.turning_sd_deg_s > PASSES_DEG_S


def _after_pass(sectors: Sectors, leg: Leg, bearing: Bearing) -> Leg:
    """Return what ``leg``, which is known, is after another ``bearing``: a second siren's once that has been seen."""
    if _turns(bearing):
        leg = replace(leg, turned=leg.turned + 1, second=None)
        return replace(leg, leaves_deg=None, left=0) if leg.turned >= TURNS_ROUND else leg
    leg = replace(leg, turned=0)
    off_deg = 0.0 if leg.leaves_deg is None else apart_deg(bearing.deg, leg.leaves_deg)
    if leg.left == SURE and off_deg - bearing.sd_deg > LEAPS_DEG:
        return _elsewhere(sectors, leg, bearing)
    if off_deg <= VEERS_DEG and sectors.is_behind(leg.approach, bearing):
        return replace(leg, leaves_deg=bearing.deg, left=min(leg.left + 1, SURE), second=None)
    return replace(leg, second=None) if leg.left == SURE else replace(leg, leaves_deg=None, left=0)


def _elsewhere(sectors: Sectors, leg: Leg, bearing: Bearing) -> Leg:
    """Return what ``leg`` is after a ``bearing`` that leapt from where its vehicle drives to."""
    seen, second = sectors.of_bearing(bearing), leg.second
    if seen is None:
        return leg
    if second is None or second.approach != seen:
        return replace(leg, second=Second(seen, bearing.end))
    if bearing.level_dbfs is None:
        return leg
    first_dbfs = bearing.level_dbfs if second.level_dbfs is None else second.level_dbfs
    rises_db = bearing.level_dbfs - first_dbfs
    if rises_db < -FADED_DB:
        return replace(leg, second=None, leaves_deg=bearing.deg)  # round a corner
    second = replace(second, windows=second.windows + 1, level_dbfs=first_dbfs)
    is_there = second.windows >= SECOND and rises_db >= RISES_DB
    return Leg(seen, SURE, since=second.since) if is_there else replace(leg, second=second)


def allowed(sectors: Sectors, leg: Leg, heard: int) -> frozenset[str]:
    """Return the approaches that may call the present siren, which has been heard for ``heard`` samples.

    While its leg may still show nobody calls; then those do that may without one.
    """
    if leg.approach is not None and leg.is_known:
        return frozenset((leg.approach,))
    return sectors.unknown if heard >= sectors.patience else frozenset()


class Legs:
    """Follows by which leg the siren comes that an array hears, window after window."""

    def __init__(self, sectors: Sectors) -> None:
        """Tell the legs of ``sectors`` apart."""
        self._sectors = sectors
        self._leg = Leg()

    @property
    def is_settled(self) -> bool:
        """Whether the leg of what is heard is believed, and nothing speaks of a second siren."""
        return self._leg.is_known and self._leg.second is None

    def of_present(self, track: Track) -> Track:
        """Return ``track`` with the onset of the siren that is heard now, where another one passed before it."""
        if self._leg.since is None or track.onset == track.end:
            return track
        return replace(track, onset=max(track.onset, self._leg.since))

    def reset(self) -> frozenset[str]:
        """Forget the siren, which is gone; return who may call without a bearing."""
        self._leg = Leg()
        return self._sectors.unknown

    def recall(self, past: Sequence[Bearing]) -> None:
        """Take where the siren was, oldest first, before it was suspected: by then it may be passing."""
        for bearing in past:
            self._leg = follow(self._sectors, self._leg, bearing, is_believed=False)

    def observe(self, tracks: Sequence[Track], bearing: Bearing | None) -> tuple[list[Track], frozenset[str]]:
        """Return ``tracks`` with the ``bearing`` of what they hear, and the approaches that may call for it."""
        heard = max((track.end - track.onset for track in tracks), default=0)
        motion = next((track.motion for track in tracks if track.onset < track.end), Motion.UNKNOWN)
        self._leg = follow(self._sectors, self._leg, bearing, motion=motion, is_believed=heard > 0)
        placed = [self._sectors.placed(self.of_present(track), bearing) for track in tracks]
        if self._leg.since is not None:
            placed = [replace(track, is_others=track.approach != self._leg.approach) for track in placed]
        return placed, allowed(self._sectors, self._leg, heard)
