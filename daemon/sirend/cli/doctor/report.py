"""The report: every finding in a line, and a sum at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sirend
from sirend.cli.doctor import host
from sirend.cli.doctor.broker import broker
from sirend.cli.doctor.finding import Finding, Grade
from sirend.cli.doctor.sound import QUIET_DBFS, microphones
from sirend.config import load as config
from sirend.detect import bundle
from sirend.detect.site_gain import quietest_dbfs
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def examine_site(path: Path, *, is_stopped: bool, with_microphone: bool = True) -> Iterator[Finding]:
    """Yield what is found about the site that ``path`` configures, as soon as it is known."""
    yield Finding("sirend", Grade.OK, f"version {sirend.__version__}, configuration {path}")
    yield host.machine()
    yield host.clock()
    yield host.temperature()
    yield host.throttling()
    try:
        loaded = config.load(path)
    except ConfigError as error:
        yield from (Finding("settings", Grade.FAULT, f"{error.where}: {problem}") for problem in error.problems)
        yield Finding("site", Grade.SKIPPED, "microphone, broker, disk and model need a right configuration")
        return
    yield Finding(
        "settings", Grade.OK, f"site {loaded.site}: {', '.join(approach.name for approach in loaded.approaches)}"
    )
    yield from host.disks(loaded)
    quiet_dbfs = QUIET_DBFS
    try:
        model = bundle.load_configured(loaded.detect)
        yield host.speed(loaded, model)
        if (gain := model.streaming.site_gain) is not None:
            quiet_dbfs = quietest_dbfs(gain)
    except ConfigError as error:
        yield Finding("model", Grade.FAULT, str(error))
    yield from broker(loaded, is_stopped=is_stopped)
    if with_microphone:
        yield from microphones(loaded, quiet_dbfs)
    else:
        yield Finding("microphone", Grade.SKIPPED, "--no-microphone")


def summary(found: list[Finding]) -> str:
    """Return how many of each there are, in a line."""
    counts = {grade: sum(finding.grade is grade for finding in found) for grade in Grade}
    return ", ".join(f"{count} {grade}" for grade, count in counts.items() if count)
