"""What the commands do that make recordings or play them: replay, simulate, demo. Each imports what it needs itself."""
# ruff: noqa: PLC0415, T201

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sirend.errors import DeviceError, UsageError
from sirend.host.files import as_text, is_other

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sirend.config.settings import Config
    from sirend.replay.replay import Wishes

log = logging.getLogger(__name__)

REALTIME_BLOCK_S = 0.05


def replay(args: argparse.Namespace) -> int:
    """Send recordings through the pipeline."""
    from sirend.config import load as config
    from sirend.replay.replay import Wishes
    from sirend.replay.results import STDOUT

    if args.scores == STDOUT and args.events == "-":
        raise UsageError("--events - and --scores - are both the standard output: name a file for one of them")
    # Events go to the standard output unless the scores do.
    events = args.events or (os.devnull if args.scores == STDOUT else "-")
    wishes = Wishes(
        events=None if events == "-" else Path(events),
        scores=args.scores,
        plot=args.plot,
        is_mqtt=args.mqtt,
        start=args.start,
        is_realtime=args.speed == "realtime",
        block_s=REALTIME_BLOCK_S if args.speed == "realtime" else 1.0,
    )
    outputs = [path for path in (wishes.events, wishes.scores, wishes.plot) if path is not None]
    _check_outputs(outputs, [*args.wavs, *([args.config] if args.config else [])])
    for name, lead in _replay(config.load(args.config), args.model, wishes, args.wavs).items():
        # The standard output may have the events; through the log it comes after what the log was told before.
        log.info("%s: %s", as_text(name), lead, extra={"answer": True})
    return 0


def _replay(config: Config, model: Path | None, wishes: Wishes, names: Sequence[str]) -> dict[str, str]:
    """Replay; return what is to be said of which file: no call, or how early a simulated drive was called."""
    from sirend.audio.routing import rows_of
    from sirend.config.secrets import sign_key
    from sirend.detect import bundle
    from sirend.detect.classifier import Classifier
    from sirend.replay.replay import Replay

    loaded = bundle.load_configured(config.detect, model)
    key_file = config.mqtt.sign_key_file
    key = None if key_file is None else sign_key(key_file)
    player = Replay(config, loaded, Classifier(loaded, rows_of(config, config.approaches)), wishes, key)
    player.run(names)
    return {**player.leads, **player.quiet}


def _check_outputs(outputs: Sequence[Path], read: Sequence[str | Path]) -> None:
    """Raise ``UsageError`` where an output would replace what is ``read``, or another output."""
    for index, path in enumerate(outputs):
        others = [*outputs[:index], *map(Path, read)]
        if str(path) != "-" and not is_other(path) and path.resolve() in [other.resolve() for other in others]:
            raise UsageError(f"{path} is named twice: writing it would destroy what else it is for")


def simulate(args: argparse.Namespace) -> int:
    """Write a simulated drive-by and the truth about it."""
    from sirend.config import geometry
    from sirend.simulate import array_scene, junction
    from sirend.simulate.scene import Scene, render_scene, write_scene

    names = (
        "siren", "profile", "start_m", "after_m", "speed_kmh", "pass_m", "siren_db", "street_db", "snr_db",
        "in_sight_m", "stop_line_m", "temperature_c", "humidity_percent", "wind_m_s", "windscreen_m", "seed",
        "background",
    )  # fmt: skip
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for level in ("siren_db", "street_db"):
        if "snr_db" in given and level in given:
            raise UsageError(f"--snr-db and --{level.replace('_', '-')} contradict each other: give one of them")
    if "snr_db" in given and args.wind_m_s:
        raise UsageError("--snr-db and --wind-m-s contradict each other: wind has a level, give --siren-db or nothing")
    if args.background is not None:
        _check_outputs([args.out, args.out.with_suffix(".json")], [args.background])
    scene = Scene(**given)
    if args.leg is not None and not args.approaches:
        raise UsageError(f"--leg {args.leg} means nothing without --approaches")
    if args.array is None and (args.bearing_deg is not None or args.houses):
        raise UsageError("--bearing-deg and --houses mean nothing without --array")
    if args.array is not None and args.approaches:
        raise UsageError("--array and --approaches contradict each other: give one of them")
    renderer = partial(junction.render_at_junction, leg=args.leg or "north") if args.approaches else render_scene
    if args.array is not None:
        around = array_scene.CANYON if args.houses else array_scene.OPEN
        renderer = partial(
            array_scene.render_at_array,
            array=geometry.KNOWN[args.array],
            bearing_deg=args.bearing_deg or 0.0,
            around=around,
        )
    write_scene(scene, args.out, renderer)
    return 0


def demo(args: argparse.Namespace) -> int:
    """Simulate a drive-by, replay it and draw it."""
    from sirend.config.settings import Config
    from sirend.replay.replay import Wishes
    from sirend.simulate.scene import Scene, write_scene

    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"{args.out}: cannot be made: {error.strerror}; name another folder with --out") from error
    wav, plot, scores = (args.out / f"drive-by{suffix}" for suffix in (".wav", ".png", ".csv"))
    scene = Scene(start_m=400.0, speed_kmh=50.0, in_sight_m=200.0)
    print(
        f"A siren of {scene.siren_db:g} dB (at 3 m) comes at {scene.speed_kmh:g} km/h through a street of "
        f"{scene.street_db:g} dB, behind buildings until {scene.in_sight_m:g} m. What sirend says:",
        flush=True,
    )
    write_scene(scene, wav)
    said = _replay(Config(), args.model, Wishes(scores=scores, plot=plot), [str(wav)])[str(wav)]
    print(f"{'It' if said.startswith('called') else 'There'} was {said}.")
    print(f"The sound is in {wav}, the scores are in {scores}, the picture is in {plot}")
    return 0
