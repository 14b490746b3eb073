"""The Prometheus endpoint: the numbers of ``health``, and those that change with every window."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import TYPE_CHECKING, Any

from sirend.call.state import CallState
from sirend.errors import ConfigError
from sirend.host.connections import Connections
from sirend.host.serving import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from sirend.config.settings import MetricsConfig
    from sirend.observe.snapshot import View

MOST = 16
"""Connections at a time: a few servers that scrape."""
ANSWER_S = 10.0
END_OF_HEAD = b"\r\n\r\n"
OLD_S = 2.0
"""A time to go that was told longer ago is told no more; it is told anew every second."""
STATES = ("ok", "degraded", "failed")

_log = logging.getLogger(__name__)


class Metrics(Server):
    """Serves the metrics of a view on one thread of its own inside its ``with`` block, whoever asks and how many.

    A port that cannot be had costs the metrics, never the detection: see ``problem``.
    """

    def __init__(self, config: MetricsConfig, view: View) -> None:
        """Prepare to serve ``view``; raise ``ConfigError`` when the extra is not installed."""
        if importlib.util.find_spec("prometheus_client") is None:
            raise ConfigError(
                "metrics.enabled",
                ["prometheus-client is missing: sudo make install EXTRAS=metrics, or make venv EXTRAS=metrics"],
            )
        super().__init__("metrics", config.bind, config.port, _log)
        self._config = config
        self._view = view

    async def _serve(self, stop: asyncio.Event) -> None:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415  an extra

        registry = CollectorRegistry()
        registry.register(Collector(self._view))
        connections = Connections(lambda: Scrape(registry, self), most=MOST, answer_s=ANSWER_S)
        await connections.listen(self._config.bind, self._config.port)
        try:
            self._started.set()
            await stop.wait()
        finally:
            await connections.close()


class Scrape(asyncio.Protocol):
    """Answers one request with all metrics, whatever it asks for, and closes."""

    def __init__(self, registry: CollectorRegistry, server: Metrics) -> None:
        """Answer with what ``registry`` collects; a bug in that becomes the ``problem`` of ``server``."""
        self._registry = registry
        self._server = server
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a part of the request; answer when its head is whole."""
        head, self._head = self._head, self._head + data
        if self._transport is None or END_OF_HEAD in head or END_OF_HEAD not in self._head:
            return
        try:
            answer = self._answer()
        except Exception:  # noqa: BLE001  a bug here must not end the metrics
            self._server.problem = "metrics: a bug; the log has it"
            _log.exception("%s", self._server.problem)
        else:
            self._server.problem = None
            self._transport.write(answer)
        self._transport.close()

    def _answer(self) -> bytes:
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415  an extra

        lines = self._head.partition(END_OF_HEAD)[0].decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if lines[0].partition(" ")[0] not in ("GET", "HEAD"):
            return b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        encode, kind = choose_encoder(fields.get("accept", ""))
        body = encode(self._registry)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return head.encode() + (body if lines[0].startswith("GET") else b"")


class Collector:
    """Turns a view into metric families whenever someone asks, and does nothing in between."""

    def __init__(self, view: View) -> None:
        """Read from ``view``."""
        self._view = view

    def collect(self) -> Iterator[Any]:
        """Yield every metric family."""
        yield from self._whole()
        yield from self._each()
        yield from self._bearing()
        yield from self._arrival()
        yield from self._outbox()

    def _whole(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily as Counter  # noqa: PLC0415
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        view, health, setup = self._view, self._view.health, self._view.setup
        info = Gauge("sirend_info", "What runs here; always 1.", labels=["site", "version", "model", "device"])
        info.add_metric([setup.site, setup.version, setup.model, setup.device], 1.0)
        yield info
        state = Gauge("sirend_health", "1 for the state that the daemon is in.", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(health.get("state", "degraded") == name))
        yield state
        yield Gauge("sirend_health_reasons", "Reasons why the state is not ok.", len(health.get("reasons", [])))
        yield Gauge("sirend_window_age_seconds", "Time since a window was scored.", round(view.age_s(), 3))
        yield Counter("sirend_windows_scored", "Windows scored.", view.windows)
        yield Counter("sirend_view_missed", "Windows that a viewer was too slow for.", view.missed)
        counters = (
            ("sirend_dropped_samples", "dropped_samples", "Samples lost because the worker was late."),
            ("sirend_gaps", "gaps", "Gaps in the stream of samples."),
            ("sirend_clock_steps", "clock_steps", "Jumps of the wall clock."),
            ("sirend_journal_failures", "journal_failures", "Events that could not be written to the journal."),
        )
        for metric, key, text in counters:
            yield Counter(metric, text, health.get(key, 0))
        gauges = (
            ("sirend_uptime_seconds", "uptime_s", "Time since the start."),
            ("sirend_cpu_percent", "cpu_percent", "Of one core, over the last 10 s or more."),
            ("sirend_rss_megabytes", "rss_mb", "Memory of the process, MB."),
            ("sirend_temperature_celsius", "temperature_c", "Of the host's processor."),
        )
        for metric, key, text in gauges:
            if health.get(key) is not None:
                yield Gauge(metric, text, health[key])

    def _each(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily as Counter  # noqa: PLC0415
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        calls = Counter("sirend_calls", "Calls started.", labels=["approach"])
        for name, count in self._view.calls().items():
            calls.add_metric([name], count)
        yield calls
        latest = self._view.since(max(1, self._view.windows) - 1).moments[-1:]
        for metric, text, value in (
            ("sirend_level_dbfs", "RMS level of the latest window.", lambda heard: heard.level_dbfs),
            ("sirend_score", "Score of the latest window, 0 to 1.", lambda heard: heard.score),
            ("sirend_evidence", "Evidence of a siren, 0 to 1.", lambda heard: heard.evidence),
            ("sirend_call", "1 while a call stands.", lambda heard: float(heard.call is CallState.APPROACHING)),
        ):
            gauge = Gauge(metric, text, labels=["approach"])
            for heard in latest[0].heard if latest else ():
                gauge.add_metric([heard.approach], value(heard))
            yield gauge
        for metric, text, key in (
            ("sirend_floor_dbfs", "Noise floor of the last ten minutes.", "floors_dbfs"),
            ("sirend_floor_drift_db", "By how much it lies above the median of 24 hours.", "floor_drifts_db"),
        ):
            gauge = Gauge(metric, text, labels=["approach"])
            for name, value_db in self._view.health.get(key, {}).items():
                if value_db is not None:
                    gauge.add_metric([name], value_db)
            yield gauge
        if self._view.setup.dbfs_of_94_db is not None:
            gauge = Gauge("sirend_level_db", "Sound pressure level of the latest window, dB.", labels=["approach"])
            for heard in latest[0].heard if latest else ():
                level_db = self._view.setup.spl_db(heard.level_dbfs)
                if level_db is not None:
                    gauge.add_metric([heard.approach], level_db)
            yield gauge

    def _bearing(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        latest = self._view.since(max(1, self._view.windows) - 1).moments[-1:]
        heard = latest[0].heard if latest else ()
        bearing = next((each.bearing for each in heard if each.bearing is not None), None)
        if bearing is not None:  # no siren, or nobody knows where: no sample rather than a false one
            yield Gauge("sirend_bearing_degrees", "Compass bearing of the siren.", round(bearing.deg, 1) % 360.0)
            yield Gauge("sirend_bearing_sd_degrees", "Its uncertainty, one sigma.", round(bearing.sd_deg, 1))

    def _arrival(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        latest = self._view.since(max(1, self._view.windows) - 1).moments[-1:]
        is_now = self._view.age_s() < OLD_S
        known = [each for each in latest[0].heard if each.arrival is not None] if latest and is_now else []
        for metric, text, value in (
            ("sirend_eta_seconds", "Time until the siren of a call is nearest, where known.", "eta_s"),
            ("sirend_eta_low_seconds", "Hardly sooner.", "low_s"),
            ("sirend_eta_high_seconds", "Hardly later.", "high_s"),
        ):
            gauge = Gauge(metric, text, labels=["approach"])
            for heard in known:
                gauge.add_metric([heard.approach], round(getattr(heard.arrival, value), 1))
            yield gauge

    def _outbox(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily as Counter  # noqa: PLC0415
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        outbox = self._view.health.get("outbox", {})
        yield Gauge("sirend_mqtt_connected", "1 while the broker is connected.", float(outbox.get("connected", False)))
        yield Gauge("sirend_mqtt_queued", "Messages that wait for the broker.", outbox.get("queued", 0))
        yield Counter("sirend_mqtt_published", "Messages that the broker acknowledged.", outbox.get("published", 0))
        yield Counter("sirend_mqtt_reconnects", "Connections after the first.", outbox.get("reconnects", 0))
        lost = Counter("sirend_mqtt_lost", "Messages that never reached the broker.", labels=["why"])
        for why in ("dropped_expired", "dropped_full", "refused"):
            lost.add_metric([why], outbox.get(why, 0))
        yield lost
