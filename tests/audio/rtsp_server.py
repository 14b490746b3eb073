"""A real RTSP server, GStreamer's: rtsp_server.py PORT PIPELINE [--user NAME:PASSWORD] [--pem FILE].

Run by the system's Python, which has the bindings. Says "ready", and "click TIME" (monotonic, s) when a loud buffer
leaves the element named ``source``.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402  after the versions are chosen

LOUD = 16_000


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def listen(_pad: Any, info: Any) -> Any:  # noqa: ANN401
    """Say when a buffer of int16 is loud."""
    _, mapped = info.get_buffer().map(Gst.MapFlags.READ)
    if max(memoryview(mapped.data).cast("h")) > LOUD:
        say(f"click {time.monotonic()}")
    return Gst.PadProbeReturn.OK


def probe(_factory: Any, media: Any) -> None:  # noqa: ANN401
    """Listen to the source of a new stream."""
    source = media.get_element().get_by_name("source")
    if source is not None:
        source.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, listen)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("pipeline")
    parser.add_argument("--user")
    parser.add_argument("--pem")
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {args.pipeline} )")
    factory.connect("media-configure", probe)
    if args.user or args.pem:
        auth = GstRtspServer.RTSPAuth()
        roles, token = GstRtspServer.RTSPPermissions(), GstRtspServer.RTSPToken()
        for what in ("access", "construct"):
            roles.add_permission_for_role("user", f"media.factory.{what}", True)
        token.set_string("media.factory.role", "user")
        factory.set_permissions(roles)
        if args.pem:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.pem))
        if args.user:
            name, _, password = args.user.partition(":")
            auth.set_supported_methods(2)  # digest
            auth.add_digest(name, password, token)
        else:
            auth.set_default_token(token)
        server.set_auth(auth)
    server.get_mount_points().add_factory("/street", factory)
    server.attach(None)
    say("ready")
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
