"""Figures become rows that say what was measured, in words and with units."""

from typing import Any

from tests.bench import tables

SPREAD = {"p50": 1.0, "p95": 2.5, "p99": 3.0, "worst": 4.0}


def test_speed_names_every_model_and_the_peer() -> None:
    costs = {"times_real_time": 50.0, "four_channels": 2.5}
    first = {"cpu_ms": 20.0, "of_peer": 4.0, "quiet_cpu_ms": 10.0, "quiet_of_peer": 2.0}
    known = {
        "audio_s": 300,
        "models": {
            "siren-8.0.0": {**costs, **first, "sparing_cpu_ms": 8.0, "sparing_of_peer": 1.6},
            "siren-9.0.0": {**costs, **first, "of_peer": None, "quiet_of_peer": None},
        },
        "peer_cpu_ms": 5.1,
        "peaks_mb": {"replay with siren-8.0.0": 150, "replay with siren-9.0.0": 90, "YAMNet": 80},
    }
    head, rows = tables.speed(known)
    assert head == "`make bench`, 300 s of audio, one core"
    street, rest = "ms of CPU a second of a street without a siren", "50.0 times real time; four channels 2.5 times one"
    spared = "8.0 ms of it with `detect.sparing` (1.6 times YAMNet's)"
    busy = "20.0 ms with one siren after the other"
    beside = f"10.0 {street} (2.0 times YAMNet's); {spared}; {busy} (4.0 times YAMNet's); {rest}"
    alone = f"10.0 {street}; {busy}; {rest}"
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


def test_motion_tells_of_the_pass_and_of_sirens_that_come_where_these_were_measured() -> None:
    known = {
        "drives": 40,
        "motion": {"right": 45, "wrong": 5, "unknown": 50},
        "motion_near": {"right": 5, "wrong": 3},
        "motion_coming": {"approaching": 13, "unknown": 7},
        "street_motion": {"approaching": 3, "unknown": 1},
        "junction_drives": 30,
        "legs": {"right": 29},
    }
    rows = dict(tables.motion(known)[1])
    every = rows["motion of a siren at least 5 dB over the street"]
    assert every.endswith("10.0 % of the claims have the wrong sign, 4.8 % more than 1 s before or after the pass")
    eta = {"times": 9, "told_in": 3, "of": 5, "within_25": 0.712, "within_60": 0.936, "interval": 0.913}
    assert (
        dict(tables.motion(known | {"eta": eta})[1])["time until the siren is nearest, in streets drawn otherwise"]
        == "told 9 times in 3 of 5 drives; 71 % of these within 25 %, 94 % within 60 %; the interval holds 91 %"
    )
    assert rows["the same, above 0 dB while it comes"] == "`approaching` 65.0 %"
    assert rows["motion at the levels of a street, above 0 dB while it comes"] == "`approaching` 75.0 %"


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


def evaluated(called: int) -> dict[str, Any]:
    """Return what an evaluation leaves, of a detector and its peer that calls one siren less."""
    calls = {
        name: {
            "false": {"count": number, "per_hour": 2.0, "per_hour_upper_95": 4.1},
            "siren_clips": {"called": number},
            "by_snr": {
                "-15": {"called": 0, "of": 30, "p50_s": None, "p95_s": None},
                "+0": {"called": number, "of": 30, "p50_s": 1.5, "p95_s": 2.5},
                "+5": {"called": 30, "of": 30, "p50_s": 1.0, "p95_s": 1.5},
                "+10": {"called": 29, "of": 30, "p50_s": 1.25, "p95_s": 1.5},
            },
        }
        for name, number in (("sirend", called), ("yamnet", called - 1))
    }
    figures = {"auc": 0.99, "f1": 0.9, "f1_best": 0.95, "recall": 0.8, "matched_recall": 0.7}
    snrs = {"+0": 0.5, "+10": 1.0, "+5": 0.75, "-15": 0.1}
    return {
        "clips": {"siren": 16},
        "hours_of_other_sounds": 1.65,
        "calls": calls,
        "sirend": {**figures, "matched_recall_by_snr": snrs},
        "yamnet": {**figures, "auc": 0.98, "matched_recall_by_snr": snrs},
    }


def test_each_set_that_was_left_out_has_a_column_beside_the_peer() -> None:
    known = {"without-esc50": evaluated(14), "without-us8k": evaluated(20), "soak": {}}
    lines = tables.left_out(known, in_brief=False).splitlines()
    assert lines[:4] == [
        "|  | esc50 | esc50, YAMNet | us8k | us8k, YAMNet |",
        "| --- | --- | --- | --- | --- |",
        "| siren clips; hours of other sounds | 16; 1.65 |  | 16; 1.65 |  |",
        "| AUC over clips | 0.99 | 0.98 | 0.99 | 0.98 |",
    ]
    faint = [line.removeprefix("| recall at ") for line in lines if "dB, matched" in line]
    assert [line.split()[0] for line in faint] == ["-15", "+0", "+5", "+10"]
    assert faint[2] == "+5 dB, matched | 0.75 | 0.75 | 0.75 | 0.75 |"
    assert "| siren clips called | 14 | 13 | 20 | 19 |" in lines
    false = "| **false calls, an hour** (95 % upper bound) | 14, 2.0 (4.1) | 13, 2.0 (4.1) |"
    assert any(line.startswith(false) for line in lines)
    assert "| called at -15 dB; p50, p95 | 0 of 30 | 0 of 30 | 0 of 30 | 0 of 30 |" in lines
    brief = tables.left_out(known, in_brief=True).splitlines()
    assert set(brief) < set(lines)
    assert brief[-1].startswith("| called at +0 dB; p50, p95 | 14 of 30; 1.5, 2.5 s | 13 of 30; 1.5, 2.5 s |")
    assert tables.left_out({"soak": {}}, in_brief=True) == ""


def test_scenes_have_a_column_for_the_peer_where_it_was_measured() -> None:
    wait = {"called": 3, "of": 4, "p50_s": 1.5, "p95_s": 2.5}
    rate = {"count": 1, "hours": 2.0, "per_hour": 0.5, "per_hour_upper_95": 2.4}
    scape = {"sirens": 4, "called_at_any_time": wait, "false": rate, "tolerance_s": 3.0, "f1": 0.6, "psds": 0.9}
    key = "false_calls_to_confusers_per_hour"
    passed = {
        "drive_bys": 8, "hours_of_drive_bys": 0.25, "stray_calls": 2, "by_peak_snr": {"+0": wait, "-10": wait},
        key: 1.5, f"{key}_upper_95": 3.0,
    }  # fmt: skip
    alone = {"soundscape": {"sirend": scape}, "stress": {"sirend": passed}}
    assert tables.scenes(alone).splitlines() == [
        "| soundscape of 2.0 h, 4 audible sirens | sirend | YAMNet |",
        "| --- | --- | --- |",
        "| called; p50, p95 | 3 of 4; 1.5, 2.5 s |  |",
        "| false calls, an hour (95 % upper bound) | 1, 0.5 (2.4) |  |",
        "| F1 of calls within 3 s; PSDS | 0.6; 0.9 |  |",
        "| **8 simulated drive-bys**, 0.25 h |  |  |",
        "| called at a peak of -10 dB; p50, p95 | 3 of 4; 1.5, 2.5 s |  |",
        "| called at a peak of +0 dB; p50, p95 | 3 of 4; 1.5, 2.5 s |  |",
        "| calls while none was audible | 2 |  |",
        "| confusers called, an hour (95 % upper bound) | 1.5 (3.0) |  |",
    ]
    both = {kind: {**each, "yamnet": each["sirend"]} for kind, each in alone.items()}
    assert "| F1 of calls within 3 s; PSDS | 0.6; 0.9 | 0.6; 0.9 |" in tables.scenes(both)


def test_leads_stand_in_six_rows_beside_the_ideal() -> None:
    line = {"drives": 9, "p10_s": 5.0, "p50_s": 12.3, "good": 0.667, "missed": 1}
    each = dict.fromkeys(("ideal", "sirend", "yamnet"), line)
    known: dict[str, Any] = {
        "all": each,
        "by_sight": dict.fromkeys(("100 m", "200 m", "400 m"), each),
        "by_speed": dict.fromkeys(("30 km/h", "50 km/h", "70 km/h"), each),
        "false": {name: {"count": 2, "hours": 0.3} for name in ("sirend", "yamnet")},
        "late": {"ch hilo": 1.5},
        "card_drive": "50 km/h, 300 m",
    }
    lines = tables.lead(known).splitlines()
    assert lines[0].endswith("| ideal | sirend | YAMNet |")
    assert len(lines[2:8]) == 6
    assert lines[3] == "| in sight from 100 m (9) |" + 3 * " 5.0, 12.3 s; 67 %; 1 |"
    assert lines[-2:] == [
        "Each made 2 false calls in 0.3 h without a siren.",
        "Called less than 8 s before the stop line at 50 km/h, 300 m of sight: ch hilo (1.5 s).",
    ]
    known["false"]["yamnet"] = {"count": 1, "hours": 0.3}
    assert "False calls in 0.3 h without a siren: sirend 2, YAMNet 1.\n" in tables.lead(known)
