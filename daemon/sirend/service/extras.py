"""Who looks at a running daemon: chosen by the configuration, opened and closed with it, never waited for."""
# ruff: noqa: PLC0415  each needs an extra and takes time to import

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from sirend.host.subprocess import Helper

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.config.settings import Config
    from sirend.observe.snapshot import View


class Onlooker(Protocol):
    """Reads a view on a thread of its own, from ``__enter__`` to ``__exit__``."""

    @property
    def problem(self) -> str | None:
        """What keeps it from its work now, or None: a reason of health."""

    def __enter__(self) -> Self:
        """Begin. What fails is a problem, not an error."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End, within bounds."""


def onlookers(config: Config, view: View) -> list[Onlooker]:
    """Return those that ``config`` enables; raise ``ConfigError`` when one lacks its extra or its secret."""
    chosen: list[Onlooker] = []
    helper = Helper()
    if config.metrics.enabled:
        from sirend.observe.metrics import Metrics

        chosen.append(Metrics(config.metrics, view))
    if config.web.enabled:
        from sirend.selftest.runner import SelfTestRunner
        from sirend.web.feed import Archive
        from sirend.web.server import Web

        kept = Archive(config.clips.path if config.clips.enabled else None, config.journal.path)
        chosen.append(Web(config.web, view, SelfTestRunner(config, view, helper), kept))
    if config.clips.enabled:
        from sirend.evidence.recorder import Clips

        chosen.append(Clips(config.clips, view, helper))
    return chosen
