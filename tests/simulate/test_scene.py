"""The scene: its truth against its sound, its files, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from sirend.cli.arguments import parser
from sirend.errors import DeviceError, InputError, UsageError
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import RATE_HZ, mix_at_snr
from sirend.simulate.scene import Scene, render_scene, write_scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sirend.simulate import scene as simulate

SHORT = Scene(start_m=50.0, speed_kmh=60.0, snr_db=5.0)


def in_band_db(pcm: NDArray[np.float32]) -> float:
    """Level in 300-4000 Hz by a way of its own: the periodogram."""
    power = np.abs(np.fft.rfft(pcm * np.hanning(pcm.size))) ** 2
    hz = np.fft.rfftfreq(pcm.size, 1 / RATE_HZ)
    return float(10 * np.log10(power[(hz >= 300) & (hz <= 4000)].sum()))


@pytest.fixture(scope="module")
def default() -> simulate.Rendered:
    return render_scene(Scene(start_m=300.0, snr_db=5.0))


@pytest.fixture(scope="module")
def city() -> simulate.Rendered:
    return render_scene(Scene(start_m=400.0, speed_kmh=50.0, in_sight_m=200.0, stop_line_m=20.0))


def test_the_default_scene_is_the_one_of_the_command_line() -> None:
    words = vars(parser().parse_args(["simulate", "out.wav"]))
    scene = Scene()
    assert (words["start_m"], words["speed_kmh"], words["stop_line_m"]) == (600.0, 60.0, 0.0)
    assert (scene.siren_db, scene.street_db, scene.snr_db, scene.in_sight_m) == (115.0, 68.0, None, None)
    same = ("siren", "profile", "start_m", "speed_kmh", "pass_m", "stop_line_m", "temperature_c", "wind_m_s", "seed")
    for name in (*same, "humidity_percent", "windscreen_m"):
        assert words[name] == getattr(scene, name)


def test_the_truth_says_what_was_asked_for(default: simulate.Rendered) -> None:
    truth = default.truth
    assert (truth["siren"], truth["profile"], truth["seed"]) == ("wail", "us", 0)
    assert (truth["start_m"], truth["speed_kmh"], truth["pass_m"], truth["peak_snr_db"]) == (300.0, 60.0, 8.0, 5.0)
    assert truth["duration_s"] == 36.0
    assert truth["closest_s"] == 18.0
    assert truth["tone"]["motion"]["segments"][0]["to_hz"] == 1800.0
    assert default.pcm.shape == (36 * RATE_HZ,)
    assert default.pcm.dtype == np.float32


def test_truth_arrays_run_at_ten_hertz(default: simulate.Rendered) -> None:
    truth = default.truth
    assert truth["time_s"] == [round(tick / 10, 1) for tick in range(360)]
    assert len(truth["distance_m"]) == len(truth["snr_db"]) == 360
    assert int(np.argmin(truth["distance_m"])) == 180
    assert min(truth["distance_m"]) == pytest.approx(np.hypot(8.0, 3.0), abs=0.01)
    assert truth["distance_m"][0] == pytest.approx(300.1, abs=0.1)


def test_levels_are_those_of_distance_and_street(city: simulate.Rendered) -> None:
    truth = city.truth
    level_db, distance_m = np.array(truth["level_db"]), np.array(truth["distance_m"])
    near = (distance_m < 60.0) & (distance_m > 20.0)
    # 115 dB at 3 m, less 20 log10 of the distance; the road adds up to 5 dB or takes as much, a wail swings by more.
    assert np.median(level_db[near] + 20.0 * np.log10(distance_m[near] / 3.0)) == pytest.approx(115.0, abs=4.0)
    assert truth["dbfs_of_94_db"] == pytest.approx(-26.0)
    quiet = in_band_rms_dbfs(city.pcm[: 3 * RATE_HZ]) - truth["dbfs_of_94_db"] + 94.0
    assert quiet == pytest.approx(68.0, abs=8.0)  # the street right then is not its average
    assert truth["peak_snr_db"] == pytest.approx(115.0 - 68.0 - 20.0 * np.log10(np.hypot(8.0, 3.0) / 3.0), abs=6.0)


def test_buildings_take_twenty_decibels_until_it_is_in_sight(city: simulate.Rendered) -> None:
    open_road = render_scene(Scene(start_m=400.0, speed_kmh=50.0, stop_line_m=20.0)).truth
    lost = np.array(open_road["level_db"]) - np.array(city.truth["level_db"])
    distance_m = np.array(city.truth["distance_m"])
    before = np.arange(lost.size) < 10 * city.truth["closest_s"]
    # The sound of the edge arrives later than the vehicle leaves it, and a level is that of a second.
    np.testing.assert_allclose(lost[before & (distance_m > 225.0)], 20.0, atol=0.1)
    np.testing.assert_allclose(lost[before & (distance_m < 180.0)], 0.0, atol=0.1)
    assert np.abs(lost[~before]).max() < 0.1
    assert city.truth["in_sight_m"] == 200.0


def test_the_stop_line_lies_where_it_was_put(city: simulate.Rendered) -> None:
    truth = city.truth
    assert truth["stop_line_s"] == pytest.approx(420.0 / (50.0 / 3.6), abs=1e-3)
    assert truth["to_stop_line_s"][0] == pytest.approx(truth["stop_line_s"], abs=1e-3)
    assert truth["to_stop_line_s"][100] == pytest.approx(truth["stop_line_s"] - 10.0, abs=2e-3)


def test_it_is_first_audible_when_it_stays_five_decibels_under_the_street(city: simulate.Rendered) -> None:
    snr_db, first = np.array(city.truth["snr_db"]), round(10 * city.truth["first_audible_s"])
    assert (snr_db[first : first + 10] >= -5.0).all()
    assert all((snr_db[begin : begin + 10] < -5.0).any() for begin in range(first))
    inaudible = render_scene(Scene(start_m=50.0, snr_db=-60.0)).truth
    assert (inaudible["first_audible_s"], inaudible["level_db"], inaudible["dbfs_of_94_db"]) == (None, None, None)


def test_warm_dry_air_swallows_more() -> None:
    mild, dry = (
        render_scene(Scene(start_m=400.0, humidity_percent=humidity, temperature_c=30.0)).truth["level_db"][20]
        for humidity in (90.0, 10.0)
    )
    assert mild - dry > 1.0


def in_band_rms_dbfs(pcm: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(signal.sosfilt(BAND, pcm) ** 2)))


def test_audible_is_where_the_snr_says(default: simulate.Rendered) -> None:
    truth = default.truth
    loud = [time_s for time_s, snr_db in zip(truth["time_s"], truth["snr_db"], strict=True) if snr_db > -10.0]
    assert (truth["audible_from_s"], truth["audible_to_s"]) == (loud[0], loud[-1])
    assert truth["audible_from_s"] < 18.0 < truth["audible_to_s"]
    assert truth["snr_db"][0] < -10.0


def test_the_siren_is_as_loud_as_asked() -> None:
    # The same street without the siren is what a scene at -60 dB leaves; scale both back to the street's own level.
    loud, street = (render_scene(Scene(start_m=100.0, snr_db=snr_db, seed=4)) for snr_db in (10.0, -60.0))
    gains = [10.0 ** (rendered.truth["background_dbfs"] / 20.0) for rendered in (loud, street)]
    siren = loud.pcm / gains[0] - street.pcm / gains[1]
    closest = int(loud.truth["closest_s"] * RATE_HZ)
    around = siren[closest - RATE_HZ // 2 : closest + RATE_HZ // 2]
    whole = np.mean(signal.sosfilt(BAND, street.pcm / gains[1]) ** 2)
    assert 10 * np.log10(np.mean(signal.sosfilt(BAND, around) ** 2) / whole) == pytest.approx(10.0, abs=0.3)


BAND = signal.butter(4, (300.0, 4000.0), "bandpass", fs=RATE_HZ, output="sos")


def test_the_sound_follows_the_truth() -> None:
    rendered = render_scene(Scene(siren="yelp", start_m=150.0, snr_db=30.0))
    closest = int(rendered.truth["closest_s"] * RATE_HZ)
    near = in_band_db(rendered.pcm[closest - 8000 : closest + 8000])
    far = in_band_db(rendered.pcm[:16_000])
    snr_db = dict(zip(rendered.truth["time_s"], rendered.truth["snr_db"], strict=True))
    assert snr_db[9.0] == pytest.approx(30.0, abs=8.0)  # the street right then is not its average
    assert near - far > 10.0
    assert snr_db[9.0] - snr_db[0.5] > 15.0


@pytest.mark.parametrize("snr_db", [5.0, 60.0])
def test_level_is_the_stated_one_and_nothing_clips(snr_db: float) -> None:
    rendered = render_scene(Scene(start_m=50.0, snr_db=snr_db))
    peak_dbfs = 20 * np.log10(np.max(np.abs(rendered.pcm)))
    if snr_db == 5.0:
        assert rendered.truth["background_dbfs"] == -36.0
        assert peak_dbfs < -1.0
    else:
        assert rendered.truth["background_dbfs"] < -36.0
        assert peak_dbfs == pytest.approx(-1.0, abs=1e-3)


def test_the_same_scene_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def digest(name: str, scene: Scene) -> list[str]:
        write_scene(scene, tmp_path / f"{name}.wav")
        return [hashlib.sha256((tmp_path / f"{name}{end}").read_bytes()).hexdigest() for end in (".wav", ".json")]

    first, again, other = digest("a", SHORT), digest("b", SHORT), digest("c", Scene(start_m=50.0, snr_db=5.0, seed=1))
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_another_siren_passes_in_the_same_street() -> None:
    wail, yelp = (render_scene(Scene(siren=siren, start_m=50.0, snr_db=-60.0)).pcm for siren in ("wail", "yelp"))
    assert np.max(np.abs(wail - yelp)) < 1e-3
    assert np.std(wail) == pytest.approx(10 ** (-36 / 20), rel=0.01)


def test_files_hold_what_was_rendered(tmp_path: Path) -> None:
    rendered = write_scene(SHORT, tmp_path / "pass.WAV")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pass.WAV", "pass.json"]
    info = soundfile.info(tmp_path / "pass.WAV")
    assert (info.samplerate, info.channels, info.subtype, info.format) == (16_000, 1, "PCM_16", "WAV")
    pcm, _ = soundfile.read(tmp_path / "pass.WAV", dtype="float32")
    np.testing.assert_allclose(pcm, rendered.pcm, atol=1.0 / 32768)
    truth = json.loads((tmp_path / "pass.json").read_text(encoding="utf-8"))
    assert truth == json.loads(json.dumps(rendered.truth))
    assert truth["schema"] == "sirend/truth/1"


def test_a_given_background_is_looped_without_a_click(tmp_path: Path) -> None:
    tone = 0.1 * np.sin(2 * np.pi * 500.0 * np.arange(3 * RATE_HZ + 7) / RATE_HZ)
    soundfile.write(tmp_path / "hum.wav", np.column_stack((tone, tone)), RATE_HZ)
    scene = Scene(start_m=50.0, snr_db=-60.0, background=tmp_path / "hum.wav")
    rendered = render_scene(scene)
    assert rendered.truth["background"] == "hum.wav"
    gain = 10 ** (rendered.truth["background_dbfs"] / 20) / (0.1 / np.sqrt(2))
    assert np.max(np.abs(rendered.pcm)) < 0.1 * gain * 1.5
    steps = np.abs(np.diff(rendered.pcm))
    assert steps.max() < 1.5 * steps[:RATE_HZ].max()
    levels = [np.std(rendered.pcm[begin : begin + RATE_HZ]) for begin in range(0, 5 * RATE_HZ, RATE_HZ)]
    assert min(levels) > 0.5 * max(levels)


def test_a_background_of_another_rate_keeps_its_pitch(tmp_path: Path) -> None:
    hum = 0.1 * np.sin(2 * np.pi * 1000.0 * np.arange(8 * 44_100) / 44_100)
    soundfile.write(tmp_path / "hum.flac", hum, 44_100)
    pcm = render_scene(Scene(start_m=50.0, snr_db=-60.0, background=tmp_path / "hum.flac")).pcm
    assert int(np.argmax(np.abs(np.fft.rfft(pcm[:RATE_HZ])))) == 1000


def broken(path: Path, how: str) -> Path:
    if how == "text":
        path.write_text("not a sound", encoding="utf-8")
    elif how == "empty":
        soundfile.write(path, np.zeros(0), RATE_HZ)
    elif how == "silent":
        soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)
    elif how == "nan":
        soundfile.write(path, np.full(RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    elif how == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "No such file"),
        ("folder", "Is a directory"),
        ("text", "not a sound file"),
        ("empty", "is empty"),
        ("silent", "is silent"),
        ("nan", "not numbers"),
    ],
)
def test_a_bad_background_leaves_nothing_behind(tmp_path: Path, how: str, said: str) -> None:
    background = broken(tmp_path / "street.wav", how)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=said) as caught:
        write_scene(Scene(start_m=50.0, background=background), out / "pass.wav")
    assert "street.wav" in str(caught.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("blocked", ["pass.wav", "pass.json"])
def test_an_output_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).mkdir()
    with pytest.raises(DeviceError, match="cannot write"):
        write_scene(SHORT, tmp_path / "pass.wav")
    assert [path.name for path in tmp_path.iterdir()] == [blocked]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"the folder .*nowhere is missing; make it"):
        write_scene(SHORT, tmp_path / "nowhere" / "pass.wav")


def test_an_old_file_survives_a_failed_run(tmp_path: Path) -> None:
    write_scene(SHORT, tmp_path / "pass.wav")
    before = (tmp_path / "pass.wav").read_bytes()
    with pytest.raises(InputError):
        write_scene(Scene(start_m=50.0, background=tmp_path / "none.wav"), tmp_path / "pass.wav")
    assert (tmp_path / "pass.wav").read_bytes() == before


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"start_m": 0.0}, "start_m = 0: it must be within 1..10000"),
        ({"speed_kmh": -5.0}, "speed_kmh = -5"),
        ({"speed_kmh": float("nan")}, "speed_kmh = nan"),
        ({"pass_m": -1.0}, "pass_m = -1"),
        ({"snr_db": 90.0}, "snr_db = 90"),
        ({"siren_db": 200.0}, "siren_db = 200"),
        ({"street_db": 0.0}, "street_db = 0"),
        ({"in_sight_m": -1.0}, "in_sight_m = -1"),
        ({"start_m": 100.0, "stop_line_m": 150.0}, "stop_line_m = 150: it must be within -100..100"),
        ({"humidity_percent": 0.0}, "humidity_percent = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"start_m": 5000.0, "speed_kmh": 10.0}, "takes 3600.0 s"),
        ({"start_m": 2.0, "speed_kmh": 60.0}, "takes 0.2 s"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(figures: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Scene(**figures)
    assert said in str(caught.value)


def test_unknown_sirens_and_outputs_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no siren 'foghorn'"):
        write_scene(Scene(siren="foghorn"), tmp_path / "pass.wav")
    with pytest.raises(UsageError, match=r"not named \*.wav"):
        write_scene(SHORT, tmp_path / "pass.mp3")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(st.floats(-30.0, 30.0), st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.integers(0, 1000))
def test_mix_gives_the_snr_whatever_the_levels(
    snr_db: float, siren_level: float, street_level: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    siren = (siren_level * np.sin(2 * np.pi * 900.0 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)
    street = (street_level * rng.standard_normal(RATE_HZ)).astype(np.float32)
    mixture, gain = mix_at_snr(siren, street, snr_db)
    np.testing.assert_allclose(mixture - street, gain * siren, atol=1e-4 * gain + 1e-5)
    expected = gain * siren_level / np.sqrt(2) / (street_level * np.sqrt(3700 / 8000))
    assert 20 * np.log10(expected) == pytest.approx(snr_db, abs=0.5)


def test_mix_refuses_silence() -> None:
    noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    silence = np.zeros(4000, np.float32)
    for siren, background in ((silence, noise), (noise, silence)):
        with pytest.raises(ValueError, match="not silent"):
            mix_at_snr(siren, background, 0.0)


def test_the_synthetic_street_rumbles_and_swells() -> None:
    pcm = synthetic_street(60 * RATE_HZ, np.random.default_rng(5))
    assert np.std(pcm) == pytest.approx(1.0, rel=1e-3)
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(pcm.size, 1 / RATE_HZ)
    low, middle, high = (
        power[(hz > least) & (hz < most)].mean() for least, most in ((30, 150), (500, 1500), (4000, 8000))
    )
    assert low > 10 * middle > 10 * high
    seconds_db = 10 * np.log10(np.mean(signal.sosfilt(BAND, pcm).reshape(60, RATE_HZ) ** 2, axis=1))
    assert seconds_db.max() - seconds_db.min() > 6.0
