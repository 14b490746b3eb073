"""The words of the command ``sirend``: every command, its options, their units and defaults."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import sirend
from sirend.cli import commands, recordings, training_commands
from sirend.cli.examples import EXAMPLES, WHOLE
from sirend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEGS = ("north", "east", "south", "west")
ARRAYS = ("respeaker-4", "uma-8")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ``UsageError``."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parser(words: Sequence[str] = ()) -> Parser:
    """Return the parser for the command line ``words``; only those that train, or want all, import what that needs."""
    top = Parser(
        prog="sirend",
        description="Hears an emergency vehicle's siren and tells the signal controller over MQTT.",
        epilog=WHOLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sirend {sirend.__version__}")
    known = top.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> Parser:
        made = known.add_parser(
            name,
            help=text,
            description=text,
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(command=command)
        return made

    run = add("run", commands.run, "listen to the microphone and call, until told to stop")
    _add_record(add("record", commands.record, "keep a set of one's own street for training, and label it"))
    replay = add("replay", recordings.replay, "send recordings through the pipeline")
    simulate = add("simulate", recordings.simulate, "write a simulated drive-by and the truth about it")
    check = add("check", commands.check, "tell every problem of a configuration and its model")
    doctor = add("doctor", commands.doctor, "try microphone, broker, clock, disk and speed, and report what was found")
    selftest = add("selftest", commands.selftest, "send a built-in siren through the pipeline and tell the broker")
    found = add("devices", commands.devices, "list the audio inputs with the names to put in the configuration")
    _add_bearing(add("bearing", commands.bearing, "tell from claps whether an array is mounted and wired right"))
    found.add_argument("url", nargs="?", metavar="URL", help="try a network microphone, rtsp://HOST/PATH, instead")
    found.add_argument(
        "--credentials", type=Path, metavar="FILE", help="its first line is NAME:PASSWORD (default: none)"
    )
    found.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of its authority (default: the system's)")
    listen = add("listen", commands.listen, "print what a signal controller is to act on, and act on it")
    fleet = add("fleet", commands.fleet, "show the sites of a broker, one line each, those in trouble first")
    monitor = add("monitor", commands.monitor, "show in the terminal what a running daemon hears")
    _add_events(add("events", commands.events, "list the journal, filter it, export it as CSV"))
    demo = add("demo", recordings.demo, "simulate a drive-by, replay it and draw it")
    schema = add("schema", commands.schema, "print the JSON Schema of events, of health or of acknowledgements")
    completion = add("completion", commands.completion, "print a completion for the shell")
    completion.add_argument("shell", choices=commands.SHELLS, help="the shell it is for")
    check.add_argument("--devices", action="store_true", help="open the microphones too, which must not be in use")
    for each in (run, check, doctor, fleet, listen, monitor, selftest):
        _config(each, required=True)
    _add_replay(replay)
    _add_simulate(simulate)
    listen.add_argument("--verify", action="store_true", help="act only on fresh, signed messages in order")
    fleet.add_argument(
        "--filter",
        default="",
        metavar="WORDS",
        help="sites that have all these words in name, model, health or reasons (default: all)",
    )
    fleet.add_argument(
        "--sort",
        choices=commands.FLEET,
        default="trouble",
        help="by what, worst or latest first (default: %(default)s)",
    )
    fleet.add_argument("--follow", action="store_true", help="show it anew every 2 s until Ctrl-C")
    fleet.add_argument("--json", action="store_true", help="JSON Lines, one object a site")
    doctor.add_argument("--stopped", action="store_true", help="the service is stopped: try every topic of the site")
    doctor.add_argument("--no-microphone", action="store_true", help="leave the microphone alone")
    selftest.add_argument("--no-mqtt", action="store_true", help="do not publish the result")
    demo.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="where to (default: %(default)s)"
    )
    _model(demo)
    schema.add_argument(
        "what",
        nargs="?",
        choices=("event", "health", "ack"),
        default="event",
        help="of which message (default: %(default)s)",
    )
    pki = add("pki", commands.pki, "make the certificates and keys of a broker, its sites and their controllers")
    is_whole = words[:1] == ["completion"]
    if is_whole or words[:1] == ["pki"]:
        commands.pki_arguments(pki)
    for name, text in training_commands.TRAINING.items():
        made = add(name, training_commands.training(name), text)
        if is_whole or words[:1] == [name]:
            training_commands.training_module(name).add_arguments(made)
    return top


def _add_record(made: Parser) -> None:
    _config(made, required=False)
    made.add_argument("--hours", type=_hours, default=24.0, help="how long, h, .001 to 720 (default: %(default)g)")
    made.add_argument("--out", type=Path, default=Path("street"), metavar="DIR", help="where to (default: %(default)s)")
    made.add_argument(
        "--max-mb", type=int, default=512, metavar="MB", help="size at which the oldest go, MB (default: %(default)d)"
    )
    made.add_argument(
        "--keep",
        choices=("blurred", "audio"),
        default="blurred",
        help="blurred: nobody can be understood; audio: as it was heard (default: %(default)s)",
    )
    made.add_argument("--review", action="store_true", help="label what was kept, on a page of this machine")
    made.add_argument("--port", type=int, default=8081, help="TCP port of that page (default: %(default)d)")


def _add_bearing(made: Parser) -> None:
    _config(made, required=True)
    made.add_argument(
        "--expect",
        type=_bearings,
        metavar="DEG,DEG,...",
        help="compass bearings of the claps from the array, degrees, in their order (default: not known)",
    )
    made.add_argument("--counter-clockwise", action="store_true", help="you walk that way, seen from above")
    made.add_argument("--wav", type=Path, metavar="WAV", help="a recording of all its channels (default: the device)")
    made.add_argument("--seconds", type=float, default=120.0, help="how long to listen, s (default: %(default)g)")


def _bearings(text: str) -> tuple[float, ...]:
    """Return bearings that are listed with commas."""
    try:
        degrees = tuple(float(each) for each in text.split(","))
    except ValueError:
        degrees = (-1.0,)
    if not all(0.0 <= each <= 360.0 for each in degrees):  # noqa: PLR2004  a full turn
        raise argparse.ArgumentTypeError(f"{text!r} is no list of bearings from 0 to 360, such as 0,90,180,270")
    return degrees


def _hours(text: str) -> float:
    """Return a number of hours that can be recorded."""
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0.001 <= hours <= 720.0:  # noqa: PLR2004  some seconds to a month
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours from .001 to 720")
    return hours


def _add_replay(made: Parser) -> None:
    _config(made, required=False)
    _model(made)
    made.add_argument(
        "--speed",
        choices=("max", "realtime"),
        default="max",
        help="realtime takes as long as the recording (default: max)",
    )
    made.add_argument(
        "--events", metavar="FILE", help="JSON Lines; - is the standard output (default, unless --scores takes it)"
    )
    made.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="CSV, one row a window and approach; - is the standard output (default: none)",
    )
    made.add_argument(
        "--plot", type=Path, metavar="FILE.png",
        help="a picture of what was heard and called; over an hour, FILE-h01.png and so on as well (default: none)",
    )  # fmt: skip
    made.add_argument("--mqtt", action="store_true", help="publish the events to the configured broker as well")
    made.add_argument(
        "--start",
        type=_utc,
        default="1970-01-01T00:00:00Z",
        metavar="TIME",
        help="when the recordings began, such as 2026-11-22T21:03:00Z (default: %(default)s)",
    )
    made.add_argument("wavs", nargs="+", metavar="WAV", help="each starts a fresh pipeline")


def _add_events(made: Parser) -> None:
    _config(made, required=False)
    made.add_argument("--journal", type=Path, metavar="FILE", help="the journal (default: journal.path of --config)")
    made.add_argument(
        "--since",
        type=_utc,
        metavar="TIME",
        help="from this time on, such as 2026-11-22T21:03:00Z (default: the first)",
    )
    made.add_argument("--until", type=_utc, metavar="TIME", help="before this time (default: to the last)")
    made.add_argument("--approach", metavar="NAME", help="of this approach only (default: all)")
    made.add_argument("--type", choices=("approaching", "cleared"), help="of this type only (default: both)")
    made.add_argument("--csv", action="store_true", help="comma-separated values with a header")


def _add_simulate(made: Parser) -> None:
    made.add_argument(
        "out", type=Path, metavar="OUT.wav", help="OUT.json gets the truth: distance, level, audible when"
    )
    made.add_argument(
        "--siren",
        default="wail",
        help="wail, yelp, hilo, ...: a wrong one lists all of the profile (default: %(default)s)",
    )
    made.add_argument("--profile", default="us", help="country: ch, de, fr, it, jp, uk or us (default: %(default)s)")
    for name, default, text in (
        ("start-m", 600.0, "distance along the street at the start, m"),
        ("speed-kmh", 60.0, "speed, km/h"),
        ("pass-m", 8.0, "distance of the microphone from the lane, m"),
        ("stop-line-m", 0.0, "how far behind the microphone the vehicle meets its stop line, m"),
        ("temperature-c", 15.0, "temperature of the air, degrees Celsius"),
        ("humidity-percent", 70.0, "relative humidity of the air, %%"),
        ("wind-m-s", 0.0, "mean speed of the wind at the microphone, m/s; its noise adds to the street's"),
        ("windscreen-m", 0.1, "diameter of the microphone's windscreen, m; a bare capsule has .01"),
    ):
        made.add_argument(f"--{name}", type=float, default=default, help=f"{text} (default: %(default)g)")
    for name, text in (
        ("siren-db", "level of the siren at 3 m, dB in 300-4000 Hz (default: 115)"),
        ("street-db", "level of the street in the same band, dB (default: 68)"),
        ("snr-db", "siren over background at the closest point, dB (default: what --siren-db and --street-db make)"),
        ("after-m", "how far it drives on behind the microphone, m (default: as far as it came)"),
        ("in-sight-m", "buildings weaken the siren by 20 dB until it is so near, m (default: an open road)"),
    ):
        made.add_argument(f"--{name}", type=float, help=text)
    made.add_argument(
        "--approaches", action="store_true", help="a junction of four legs: a channel for each microphone, n e s w"
    )
    made.add_argument("--leg", choices=LEGS, help="with --approaches: where it comes from (default: north)")
    made.add_argument(
        "--array", choices=ARRAYS, help="an array, with the columns of its device (default: one microphone)"
    )
    made.add_argument(
        "--bearing-deg", type=float, help="with --array: compass bearing from which it comes, degrees (default: 0)"
    )
    made.add_argument("--houses", action="store_true", help="with --array: walls on both sides return the siren")
    made.add_argument(
        "--background", type=Path, metavar="WAV", help="a recording of a street (default: a synthetic one)"
    )
    made.add_argument(
        "--seed",
        type=int,
        default=0,
        help="number from which all that is random follows: same seed, same bytes (default: %(default)d)",
    )


def _config(made: Parser, *, required: bool) -> None:
    text = "the YAML configuration" + ("" if required else " (default: each key's own default)")
    made.add_argument("--config", type=Path, required=required, metavar="FILE", help=text)


def _model(made: Parser) -> None:
    made.add_argument(
        "--model", type=Path, metavar="DIR", help="model bundle (default: detect.model, or the newest that ships)"
    )


def _utc(text: str) -> datetime:
    """Return an ISO 8601 time, in UTC where it does not say."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-22T21:03:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
