"""Evidence: sound, picture and decisions of every call, kept in a folder that is bounded in size and age.

One thread follows the view, another writes, a process of its own draws: nothing of it is ever waited for. What could
not be kept is counted and is a reason of health.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import subprocess
import time
from typing import TYPE_CHECKING, Self

from sirend.audio.stream import to_samples
from sirend.errors import ConfigError
from sirend.evidence.clip import CallClip, ClipRecorder
from sirend.evidence.follower import Follower, new_hops
from sirend.host.boottime import boottime_s
from sirend.host.outfile import remove_unfinished, replace_file
from sirend.observe.moment import event_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.call.event import Event
    from sirend.config.settings import ClipsConfig
    from sirend.evidence.clip import Hop
    from sirend.host.subprocess import Helper
    from sirend.observe.snapshot import View

POLL_S = 0.5
"""How often the view is looked at; its window holds 2 s."""
WAITING = 4
"""Clips that wait for the disk; more are dropped and counted."""
CLOSE_S = 2.0
PRUNE_S = 3600.0
STEADY_S = 3600.0
"""A clock that is wrong for a moment, or until the network is there, removes nothing."""
STEP_S = 60.0
"""A clock that goes so much astray from one look to the next was set."""
DAY_S = 86_400.0
BYTES_A_MB = 1_000_000
_OURS = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]{1,64}-[0-9a-f]{8}\.(flac|npz|png|json)")

_log = logging.getLogger(__name__)


class Calendar:
    """The wall clock as far as a clip may be removed by it: one that was set counts when it has gone on for an hour."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        host: Callable[[], float] = boottime_s,
    ) -> None:
        """Read Unix time by ``wall``, and by ``host`` a time that nobody sets, both in s."""
        self._wall = wall
        self._host = host
        self._offset_s = math.inf
        self._since_s = math.inf

    def now_s(self) -> float:
        """Return Unix time, s; minus infinity, when nothing is too old, while it cannot be believed."""
        wall_s, host_s = self._wall(), self._host()
        if abs(wall_s - host_s - self._offset_s) > STEP_S:
            self._since_s = host_s
        self._offset_s = wall_s - host_s
        return wall_s if host_s - self._since_s >= STEADY_S else -math.inf


class Clips:
    """Keeps clips inside its ``with`` block."""

    def __init__(self, config: ClipsConfig, view: View, helper: Helper) -> None:
        """Prepare to follow ``view``; raise ``ConfigError`` when there is no folder or no way to draw.

        Pictures are drawn by ``helper``: drawing takes seconds and 100 MB that a daemon must not.
        """
        if config.path is None:
            raise ConfigError("clips.path", ["name the folder for the clips"])
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError(
                "clips.enabled", ["matplotlib is missing: sudo make install EXTRAS=plot, or make venv EXTRAS=plot"]
            )
        self._folder = config.path
        self._config = config
        self._view = view
        self._helper = helper
        self._recorders = {
            approach.name: ClipRecorder(to_samples(config.before_s), to_samples(config.max_s), self._make)
            for approach in view.setup.approaches
        }
        self._calendar = Calendar()
        self._seen = 0
        self._told = 0
        self._pruned_at: float | None = None
        """Monotonic; None before the first time."""
        self._follower: Follower[CallClip] = Follower(
            "sirend-clips",
            look=self._look,
            write=self._write,
            failed=self._stumble,
            poll_s=POLL_S,
            waiting=WAITING,
            close_s=CLOSE_S,
        )
        self.lost = 0
        """Clips that were not kept, or not whole."""
        self.problem: str | None = None
        """What went wrong with the latest clip, or None."""

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._follower.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is at hand; a picture that is being drawn is given up."""
        self._follower.__exit__()

    def _make(self, event: Event, past: list[Hop]) -> CallClip:
        return CallClip(event, self._view.setup.rules, self._view.setup.model, past)

    def _look(self) -> None:
        """Keep the folder within its bounds, now and then, and follow."""
        now_s = time.monotonic()
        if self._pruned_at is None or now_s - self._pruned_at > PRUNE_S:
            first, self._pruned_at = self._pruned_at is None, now_s
            if first:
                self._tidy()
            else:
                self._prune()
        self._follow()

    def _stumble(self, problem: str) -> None:
        """Tell of a bug; it costs what it costs."""
        self.problem = f"clips: {problem}"

    def _tidy(self) -> None:
        """Remove what a run before, or a power cut, left unfinished; then what is too much."""
        try:
            remove_unfinished(self._folder, _OURS)
        except OSError as error:
            self._fail(f"clips: {self._folder} cannot be tidied: {error.strerror or error}")
        self._prune()

    def _follow(self) -> None:
        """Take what is new in the view."""
        self._seen, hops = new_hops(self._view, self._seen)
        events = self._view.events()
        for hop in hops:
            self._offer(self._recorders[hop.heard.approach].add_hop(hop))
        for event in events:
            if event.seq > self._told:
                self._told = event.seq
                self._offer(self._recorders[event.approach].add_event(event))

    def _offer(self, clip: CallClip | None) -> None:
        """Hand a clip to the writer, unless it is behind."""
        if clip is not None and not self._follower.offer(clip):
            self._fail(f"clips: {clip.name} is dropped, the disk is too slow")

    def _fail(self, problem: str) -> None:
        self.lost += 1
        self.problem = problem
        _log.error("%s; events go on without it", problem)

    def _write(self, clip: CallClip) -> None:
        try:
            self._keep(clip)
        except OSError as error:
            self._fail(f"clips: {self._folder} cannot be written: {error.strerror or error}")
        except subprocess.SubprocessError as error:
            self._fail(f"clips: {clip.name} has no picture: {error}")
        except Exception:  # noqa: BLE001  a bug here must not end the detection
            self._fail(f"clips: {clip.name} is incomplete, by a bug that the log tells of")
            _log.exception("%s", clip.name)
        else:
            self.problem = None
        self._prune()

    def _keep(self, clip: CallClip) -> None:
        """Write everything of one call; the picture, which takes longest, last."""
        is_private = self._config.keep == "features"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if is_private:
            self._put(f"{clip.name}.npz", clip.features())
        else:
            self._put(f"{clip.name}.flac", clip.flac())
        self._put(f"{clip.name}.json", clip.notes(event_values))
        if self._follower.is_ending:
            return
        self._put(f"{clip.name}.png", self._helper.run("sirend.evidence.render", (clip, is_private)))
        _log.info("clips: kept %s", clip.name)

    def _put(self, name: str, content: bytes) -> None:
        """Write a file that only its owner can read, whole or not at all."""
        replace_file(self._folder / name, content)

    def _prune(self) -> None:
        try:
            prune(
                self._folder,
                max_bytes=self._config.max_mb * BYTES_A_MB,
                oldest_s=self._calendar.now_s() - self._config.max_age_days * DAY_S,
            )
        except OSError as error:
            self._fail(f"clips: {self._folder} cannot be tidied: {error.strerror or error}")


def prune(folder: Path, *, max_bytes: int, oldest_s: float) -> None:
    """Remove clips last written before ``oldest_s`` (Unix time), then the oldest until ``max_bytes`` hold the rest.

    What does not look like a clip's file is never touched.
    """
    if not folder.is_dir():
        return
    files = sorted((path.stat().st_mtime, path.name, path) for path in folder.iterdir() if _OURS.fullmatch(path.name))
    sizes = {path: path.stat().st_size for _, _, path in files}
    total = sum(sizes.values())
    for at_s, _, path in files:
        if at_s >= oldest_s and total <= max_bytes:
            break
        path.unlink(missing_ok=True)
        total -= sizes[path]
