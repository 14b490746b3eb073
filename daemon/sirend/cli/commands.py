"""What each command does. Every function imports what it needs itself, for start-up time."""
# ruff: noqa: PLC0415, T201

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from sirend.errors import ConfigError, DeviceError, InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from sirend.observe.snapshot import View

log = logging.getLogger(__name__)

FLEET = ("trouble", "site", "call", "model", "version", "floor", "clock", "temperature", "uptime")
"""What ``sirend fleet`` can be sorted by: ``client.fleet.COLUMNS``, which takes time to import."""
SHELLS = ("bash", "zsh")
"""Shells that a completion can be printed for."""
STDERR = 2


def run(args: argparse.Namespace) -> int:
    """Listen until told to stop."""
    from sirend.config.in_force import InForce
    from sirend.detect import bundle
    from sirend.host.log import unblock
    from sirend.host.signals import heeding
    from sirend.service import daemon as service
    from sirend.service.rereading import Rereading

    in_force = InForce(args.config)
    loaded = in_force.load()
    stop = threading.Event()
    rereading = Rereading(in_force.load, in_force.keep)
    unblock(STDERR)
    with heeding(stop.set, reload=rereading.ask):
        service.Service(loaded, bundle.load_configured(loaded.detect), stop, rereading).run()
    return 0


def record(args: argparse.Namespace) -> int:
    """Keep a set of one's own street while listening, or have it labelled."""
    from sirend.evidence.street_set import StreetSet

    most_bytes = args.max_mb * 1_000_000
    if args.review:
        return _review(args.out, most_bytes, args.port)
    from sirend.config import load as config
    from sirend.detect import bundle
    from sirend.evidence.street_recorder import StreetRecorder
    from sirend.host.log import unblock
    from sirend.host.signals import heeding
    from sirend.service import daemon as service

    loaded = config.load(args.config)
    model = bundle.load_configured(loaded.detect)
    street = StreetSet(args.out, most_bytes)
    stop = threading.Event()
    recorders: list[StreetRecorder] = []

    def recorder(view: View) -> list[StreetRecorder]:
        recorders.append(StreetRecorder(view, street, keeps_speech=args.keep == "audio"))
        return recorders

    over = threading.Timer(args.hours * 3600.0, stop.set)
    over.daemon = True
    unblock(STDERR)
    with heeding(stop.set):
        over.start()
        try:
            service.Service(loaded, model, stop, also=recorder).run()
        finally:
            over.cancel()
    kept = ", ".join(f"{count} {worth}" for each in recorders for worth, count in each.kept.items())
    print(f"kept {kept} in {args.out}; listen to them: sirend record --review --out {args.out}")
    return 0


def _review(folder: Path, most_bytes: int, port: int) -> int:
    """Serve the page on which the set in ``folder`` is labelled, until told to stop; make none where there is none."""
    import asyncio

    from sirend.evidence.street_set import TABLE, StreetSet
    from sirend.host.signals import heeding
    from sirend.web import review

    review.require_web()
    if not (folder / TABLE).is_file():
        raise InputError(f"{folder}: there is no {TABLE}; sirend record --config FILE --out {folder} keeps a set there")
    street = StreetSet(folder, most_bytes)

    async def serving() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        with heeding(lambda: loop.call_soon_threadsafe(stop.set)):
            await review.serve(street, port, stop, lambda url: print(f"open {url}; Ctrl-C ends", flush=True))

    asyncio.run(serving())
    return 0


def selftest(args: argparse.Namespace) -> int:
    """Send the built-in siren through the pipeline and say what became of it."""
    import json

    from sirend.config import load as config
    from sirend.selftest import run as proof

    loaded = config.load(args.config)
    payload = proof.selftest_payload(loaded)
    print(json.dumps(payload, sort_keys=True), flush=True)
    if not args.no_mqtt:
        from sirend.publish.mqtt.guest import Delivery

        with Delivery(loaded.mqtt, loaded.site, [each.name for each in loaded.approaches], "selftest") as delivery:
            delivery.selftest(payload)
    if not payload["passed"]:
        raise ConfigError(f"self-test with {payload['model']}", [f"{payload['problem']}; check detect and the model"])
    return 0


def check(args: argparse.Namespace) -> int:
    """Tell every problem of a configuration and its model, or what it amounts to."""
    from sirend.cli.check import check_file

    print("\n".join(["ok", *check_file(args.config, with_devices=args.devices)]))
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Try what a site needs, and report what was found."""
    from sirend.cli.doctor.finding import Finding, Grade
    from sirend.cli.doctor.report import examine_site, summary

    found: list[Finding] = []
    for finding in examine_site(args.config, is_stopped=args.stopped, with_microphone=not args.no_microphone):
        found.append(finding)
        print(finding.line(), flush=True)
    print(summary(found))
    faults = [finding for finding in found if finding.grade is Grade.FAULT]
    if any(finding.what in ("settings", "model") for finding in faults):
        raise ConfigError(str(args.config), ["the faults above are to be mended"])
    if faults:
        raise DeviceError(f"{len(faults)} fault{'s' * (len(faults) != 1)}; the lines above say what to do about each")
    return 0


def bearing(args: argparse.Namespace) -> int:
    """Tell from claps whether an array is mounted and wired as it is configured."""
    from sirend.cli import bearing_walk

    return bearing_walk.main(args)


def devices(args: argparse.Namespace) -> int:
    """List the audio inputs, or try a network microphone."""
    from sirend.audio import portaudio

    if args.url is not None:
        return _network_device(args)
    for each in portaudio.inputs():
        place = "" if each.socket is None else f"{each.socket}, "
        print(f"{each.name!r}: {place}{each.channels} channels, {each.rate_hz} Hz")
    return 0


def _network_device(args: argparse.Namespace) -> int:
    """Say what a network microphone sends, and how it arrives."""
    from sirend.audio import rtsp
    from sirend.config.settings import AudioConfig

    audio = AudioConfig(device=args.url, credentials_file=args.credentials, authority_file=args.ca)
    if not audio.is_network or "@" in args.url:
        raise UsageError("a network microphone is rtsp://HOST/PATH or rtsps://; name and password belong into a file")
    print(rtsp.stream_report(audio))
    return 0


def listen(args: argparse.Namespace) -> int:
    """Print what a signal controller would act on, and act on it where outputs are configured."""
    from sirend.config.in_force import InForce
    from sirend.controller.listen import consumer_of, follow_calls
    from sirend.host.background_thread import Background
    from sirend.host.log import Lines, unblock
    from sirend.host.signals import heeding

    in_force = InForce(args.config)
    loaded = in_force.load()
    consumer = consumer_of(loaded, verify=args.verify)
    stop = threading.Event()
    unblock(STDERR)
    keeping = Background("sirend-in-force", in_force.keep, most=1)

    def unread() -> None:
        """End where nobody is left to read; a controller is served all the same."""
        if not loaded.listen.acts:
            stop.set()

    with heeding(stop.set), Lines(sys.stdout, "sirend-out", on_end=unread) as out, keeping:
        keeping.put(loaded)
        follow_calls(loaded, consumer, out.put, stop)
    return 0


def events(args: argparse.Namespace) -> int:
    """List the journal."""
    from sirend.config import load as config
    from sirend.publish import journal_reader as history

    journal = args.journal
    if journal is None:
        journal = config.load(args.config, for_onlooker=True).journal.path if args.config else None
    if journal is None:
        raise UsageError("there is no journal to read: give --journal FILE, or --config FILE with journal.path set")
    wanted = history.Wanted(args.since, args.until, args.approach, args.type)
    torn: list[str] = []
    chosen = filter(wanted.includes, history.read_events(journal, torn))
    if args.csv:
        history.write_csv(chosen, sys.stdout)
    else:
        for event in chosen:
            print(history.event_line(event))
    for place in torn:
        log.warning("%s is no whole event; it is left out", place)
    return 0


def fleet(args: argparse.Namespace) -> int:
    """Show the sites of a broker."""
    from sirend.cli.fleet_list import ListView, watch
    from sirend.config import load as config
    from sirend.host.signals import heeding

    mqtt = config.load(args.config, of_site=False).mqtt
    stop = threading.Event()
    with heeding(stop.set, reload=stop.set):
        watch(mqtt, stop, ListView(args.filter, args.sort, args.follow, args.json))
    return 0


def monitor(args: argparse.Namespace) -> int:
    """Show a running daemon in the terminal."""
    from sirend.config import load as config
    from sirend.host.signals import heeding
    from sirend.observe.monitor import Monitor

    loaded = config.load(args.config, for_onlooker=True)
    stop = threading.Event()
    with heeding(stop.set, reload=stop.set):  # a terminal that hung up has nothing to show it on
        Monitor(loaded.web).run(stop)
    return 0


def schema(args: argparse.Namespace) -> int:
    """Print a JSON Schema."""
    import json

    from sirend.call import schemas

    known = {"event": schemas.event_schema, "health": schemas.health_schema, "ack": schemas.ack_schema}
    print(json.dumps(known[args.what](), indent=2))
    return 0


def completion(args: argparse.Namespace) -> int:
    """Print a completion of every command for a shell."""
    try:
        import shtab  # an extra
    except ModuleNotFoundError:
        raise UsageError(
            "`sirend completion` needs shtab: sudo make install EXTRAS=completion, or make venv EXTRAS=completion"
        ) from None
    from sirend.cli.arguments import parser

    print(shtab.complete(parser(["completion"]), args.shell))
    return 0


def pki(args: argparse.Namespace) -> int:
    """Make certificates and keys."""
    from sirend.cli import pki as authority

    return authority.main(args)


def pki_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of ``sirend pki``, which its own module knows."""
    from sirend.cli import pki as authority

    authority.add_arguments(parser)
