"""The table of siren tones: what is known of them, as data.

Figures carry their source; "(2nd)" marks a secondary one, "(assumed)" a number nobody publishes.
"""

from __future__ import annotations

from sirend.errors import UsageError
from sirend.simulate.siren_sound import Segment, SirenSound, Sweep, Voice, steps, sweep

ELECTRONIC = Voice()
LOW_ELECTRONIC = Voice(band_hz=(330.0, 4000.0))
RUMBLER = Voice(band_hz=(150.0, 4000.0))
PNEUMATIC = Voice(even=1.0, rolloff=0.9, third=1.0, drive=0.7, band_hz=(300.0, 6000.0), breath=0.03, drift=0.002)
ROTOR = Voice(0.8, 1.1, third=1.0, drive=0.7, band_hz=(250.0, 5000.0), breath=0.06, drift=0.003, softening=1.5)
SOFT = Voice(even=0.3, rolloff=1.8, third=1.0, drive=1.0, band_hz=(400.0, 5000.0))

# California Title 13 §1028: wail 10-30, yelp 150-250 cycles a minute. §1021 ends at 400; phasers go beyond it.
WAIL, YELP, PHASER = (10.0, 30.0), (150.0, 250.0), (900.0, 1600.0)
DE, FR, FR_FIRE, JP = (34.0, 46.0), (50.0, 60.0), (25.0, 30.0), (42.0, 50.0)  # de, jp: width assumed; fr (2nd)
_BASS = sweep((182.0, 400.0), YELP, 220.0)
_HORN = steps((466.0,), (20.0, 60.0), 1.2, 0.6)
_BEAT = steps((970.0, 760.0), JP, 0.65)
_PRESS, _HELD, _COAST = Segment(2.6, 400.0, 800.0, "rc"), Segment(1.4, 800.0, 800.0), Segment(12.0, 800.0, 400.0, "log")
_TABLE = (
    # Federal Signal PA300 (2nd): 725-1800 Hz; wail 15, yelp 220, priority 1300, hi-lo 70 cycles a minute.
    SirenSound("us", "wail", sweep((725.0, 1800.0), WAIL, 15.0), ELECTRONIC),
    SirenSound(
        "us", "wail-msc", sweep((700.0, 1600.0), WAIL, 11.0, rise=0.35), ELECTRONIC
    ),  # 012MSC (2nd), skew assumed
    SirenSound("us", "yelp", sweep((725.0, 1800.0), YELP, 220.0), ELECTRONIC),
    SirenSound("us", "phaser", sweep((725.0, 1800.0), PHASER, 1300.0, "linear"), ELECTRONIC),
    SirenSound("us", "hilo", steps((950.0, 1150.0), (50.0, 90.0), 60 / 140), ELECTRONIC),  # pitches (2nd), band assumed
    SirenSound(
        "us", "rumbler", sweep((725.0, 1800.0), YELP, 220.0), RUMBLER, ((_BASS, 1.0),)
    ),  # undertone 182-400 Hz (2nd)
    # Q2B (2nd): 400-800 Hz, up in 2.6 s, some 30 s to stand still; drivers press again long before (12 s: assumed).
    SirenSound("us", "mechanical", Sweep((_PRESS, _HELD, _COAST), (2.0, 7.5)), ROTOR),
    SirenSound("us", "airhorn", steps((370.0,), (20.0, 60.0), 1.2, 0.6), PNEUMATIC, ((_HORN, 0.9),)),  # all assumed
    # DIN 14610: a perfect fourth inside 360-630 Hz; the pairs and 750 ms a tone (2nd); the stop signal's 0.3 s (2nd).
    SirenSound("de", "hilo", steps((410.0, 547.0), DE, 0.75), ELECTRONIC),
    SirenSound("de", "hilo-country", steps((362.0, 483.0), DE, 0.75), LOW_ELECTRONIC),
    SirenSound("de", "martin-horn", steps((435.0, 580.0), DE, 0.72, 0.03), PNEUMATIC),  # gap assumed
    SirenSound("de", "yelp", sweep((800.0, 1700.0), YELP, 200.0, "log"), ELECTRONIC),
    # France (2nd): first tone 435 Hz +-2 %, 50-60 cycles a minute, fire brigade 25-30.
    SirenSound("fr", "police", steps((435.0, 580.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("fr", "fire", steps((435.0, 488.0), FR_FIRE, 60 / 55), ELECTRONIC),
    SirenSound("fr", "gendarmerie", steps((435.0, 732.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("fr", "samu", steps((435.0, 651.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("it", "hilo", steps((392.0, 660.0), (18.0, 22.0), 1.5), ELECTRONIC),  # DM 17-10-1980: +-5 %, cycle 3 s
    # Japan JP2001-249673: 960/770 Hz, 0.65 s each, beating with 970/760 Hz (share assumed); residential 850/680 Hz.
    SirenSound("jp", "ambulance", steps((960.0, 770.0), JP, 0.65), SOFT, ((_BEAT, 0.7),)),
    SirenSound("jp", "ambulance-residential", steps((850.0, 680.0), JP, 0.65), SOFT),
    SirenSound(
        "jp", "police", sweep((400.0, 900.0), (12.0, 18.0), 15.0, rise=0.55), ELECTRONIC
    ),  # 4 s; pitches assumed
    SirenSound("jp", "fire", sweep((350.0, 850.0), (6.5, 9.0), 7.5, rise=0.55), ELECTRONIC),  # 8 s; pitches assumed
    # UK: no statutory figures found; sweeps assumed, two-tone 750-800/950-1000 Hz (2nd).
    SirenSound("uk", "wail", sweep((600.0, 1500.0), WAIL, 14.0, "sine"), ELECTRONIC),
    SirenSound("uk", "yelp", sweep((600.0, 1500.0), YELP, 200.0, "sine"), ELECTRONIC),
    SirenSound("uk", "hilo", steps((975.0, 775.0), (45.0, 75.0), 0.5), ELECTRONIC),
    # Switzerland 1935 (2nd): G sharp / C sharp, 0.8-1 s each, 0.2-0.3 s apart; octave assumed.
    SirenSound("ch", "hilo", steps((554.4, 415.3), (23.0, 30.0), 0.9, 0.25), PNEUMATIC),
)
TONES: dict[tuple[str, str], SirenSound] = {(entry.profile, entry.siren): entry for entry in _TABLE}
HORN = "airhorn"
"""It sounds in a jam, and on every lorry: no reason to stop traffic."""
CALLING = tuple(key for key in TONES if key[1] != HORN)
"""Profiles and names of the sirens that a detector has to call."""
# What a plain name means where a country has several of the kind or another word for it.
ALIASES = {
    ("fr", "hilo"): "police",
    ("jp", "hilo"): "ambulance",
    ("jp", "wail"): "police",
    ("us", "priority"): "phaser",
}


def find_siren(profile: str, siren: str) -> SirenSound:
    """Look up a siren by profile (`us`, `de`, ...) and name (`wail`, `hilo`, ...).

    Raises UsageError, which lists what exists, when there is no such profile or no such siren in it.
    """
    named = {**TONES, **{key: TONES[key[0], name] for key, name in ALIASES.items()}}
    if (profile, siren) in named:
        return named[profile, siren]
    profiles = sorted({country for country, _ in named})
    if profile not in profiles:
        raise UsageError(f"no siren profile '{profile}': choose one of {', '.join(profiles)}")
    here = sorted(name for country, name in named if country == profile)
    raise UsageError(f"profile '{profile}' has no siren '{siren}': choose one of {', '.join(here)}")
