"""Figures become rows that say what was measured, in words and with units."""

from tests.bench import tables

SPREAD = {"p50": 1.0, "p95": 2.5, "p99": 3.0, "worst": 4.0}


def test_speed_names_every_model_and_the_peer() -> None:
    known = {
        "audio_s": 300,
        "models": {
            "siren-8.0.0": {"cpu_ms": 20.0, "of_peer": 4.0, "times_real_time": 50.0, "four_channels": 2.5},
            "siren-9.0.0": {"cpu_ms": 5.0, "of_peer": None, "times_real_time": 200.0, "four_channels": 3.0},
        },
        "peer_cpu_ms": 5.1,
        "peaks_mb": {"replay with siren-8.0.0": 150, "replay with siren-9.0.0": 90, "YAMNet": 80},
    }
    head, rows = tables.speed(known)
    assert head == "`make bench`, 300 s of audio, one core"
    beside = "20.0 ms of CPU a second of audio (4.0 times YAMNet's); 50.0 times real time; four channels 2.5 times one"
    alone = "5.0 ms of CPU a second of audio; 200.0 times real time; four channels 3.0 times one"
    assert rows == [
        ("siren-8.0.0", f"{beside}; a replay peaks at 150 MB"),
        ("siren-9.0.0", f"{alone}; a replay peaks at 90 MB"),
        ("YAMNet, 0.48 s hop", "5.1 ms; peaks at 80 MB"),
    ]
    assert [name for name, _ in tables.speed(known | {"peer_cpu_ms": None})[1]] == ["siren-8.0.0", "siren-9.0.0"]


def test_motion_counts_wrong_signs_among_all_windows_and_among_claims() -> None:
    known = {
        "drives": 40,
        "motion": {"right": 45, "wrong": 5, "unknown": 50},
        "junction_drives": 30,
        "legs": {"right": 29, "wrong": 1, "another later": 2},
    }
    assert tables.motion(known)[1] == [
        (
            "motion of a siren at least 5 dB over the street",
            "right 45.0 %, unknown 50.0 %, wrong 5.0 %; 10.0 % of the claims have the wrong sign",
        ),
        ("first leg called, at 0 to 30 dB", "the right one in 29 of 30; another one later in 2"),
    ]
    (_, said), (_, legs) = tables.motion(known | {"motion": {"right": 10}, "legs": {"right": 30}})[1]
    assert said == "right 100.0 %; 0.0 % of the claims have the wrong sign"
    assert legs == "the right one in 30 of 30; another one later in 0"


def test_growth_has_a_sign() -> None:
    grown = {"descriptors": 0, "threads": -1, "mb_an_hour": 0.0049, "dropped_samples": 7, "hours": 24.0}
    assert tables.soak(grown) == (
        "`make soak HOURS=24`, hours of audio at full speed through the daemon",
        [
            ("after the first hour", "+0.005 MB an hour of audio, +0 file descriptors, -1 threads"),
            ("samples dropped", "7"),
        ],
    )


def test_a_city_says_how_long_and_at_what_cost() -> None:
    known = {
        "sites": 1000, "broker": "mosquitto 2.0", "back": 999, "back_s": SPREAD, "back_cpu_s": 0.3,
        "beats_a_second": 33, "beat_ms": SPREAD, "broker_percent": 0.6, "broker_mb": 13,
        "events": 100, "event_ms": SPREAD, "events_missing": 1, "events_cpu_ms": 10,
    }  # fmt: skip
    head, rows = tables.fleet(known)
    assert "1,000 sites on mosquitto 2.0" in head
    assert rows == [
        ("999 sites back after a broker restart", "p50 1 s, p95 2.5 s, p99 3 s, worst 4 s; 0.3 s of broker CPU"),
        (
            "heartbeats, 33 a second, through a shared subscription",
            "p50 1 ms, p95 2.5 ms, p99 3 ms, worst 4 ms; 0.6 % of a core, 13 MB",
        ),
        ("100 simultaneous events", "p50 1 ms, p95 2.5 ms, p99 3 ms, worst 4 ms; 1 lost; 10 ms of broker CPU"),
    ]
