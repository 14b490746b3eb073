"""Keeps a set of one's own street while the daemon listens and calls as always: ``sirend record``."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.errors import InputError
from sirend.evidence.blur import blurred
from sirend.evidence.follower import Follower, new_hops
from sirend.evidence.street_chooser import Chooser, Piece, Worth
from sirend.evidence.street_set import LABELS, REVIEW, StreetSet

if TYPE_CHECKING:
    from sirend.observe.snapshot import View

POLL_S = 0.5
WAITING = 8
"""Pieces that wait for the disk; more are dropped and counted."""
CLOSE_S = 5.0

_log = logging.getLogger(__name__)


class StreetRecorder:
    """Follows a view inside its ``with`` block, on threads of its own; never waited for."""

    def __init__(self, view: View, street: StreetSet, *, keeps_speech: bool, seed: int | None = None) -> None:
        """Keep pieces of what ``view`` shows in ``street``; speech is blurred unless ``keeps_speech``."""
        self._view = view
        self._street = street
        self._keeps_speech = keeps_speech
        self._rng = np.random.default_rng(seed)
        self._choosers = {each.name: Chooser(each.name, self._rng) for each in view.setup.approaches}
        self._seen = 0
        self._follower: Follower[Piece] = Follower(
            "sirend-street",
            look=self.follow,
            write=self._write,
            failed=lambda problem: self._fail(f"street: {problem}"),
            poll_s=POLL_S,
            waiting=WAITING,
            close_s=CLOSE_S,
        )
        self.kept: dict[Worth, int] = dict.fromkeys(Worth, 0)
        """Pieces so far."""
        self.problem: str | None = None
        """What went wrong with the latest piece, or None."""

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._follower.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is complete."""
        self._follower.__exit__()

    def follow(self) -> None:
        """Take what is new in the view."""
        self._seen, hops = new_hops(self._view, self._seen)
        for hop in hops:
            for piece in self._choosers[hop.heard.approach].add_hop(hop):
                if not self._follower.offer(piece):
                    self._fail(f"street: a piece of {piece.approach} is dropped, the disk is too slow")

    def _fail(self, problem: str) -> None:
        self.problem = problem
        _log.error("%s; detection goes on", problem)

    def _write(self, piece: Piece) -> None:
        try:
            self.keep(piece, datetime.now(UTC))
        except (OSError, InputError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            self._fail(f"street: a piece of {piece.approach} cannot be written: {why or error}")
        else:
            self.problem = None

    def keep(self, piece: Piece, now: datetime) -> None:
        """Write a piece that ended at ``now``; raise ``OSError`` or ``InputError`` where that is impossible."""
        import soundfile  # noqa: PLC0415  takes time, and only a recorder needs it

        pcm = piece.pcm if self._keeps_speech else blurred(piece.pcm, int(self._rng.integers(2**32)))
        file = io.BytesIO()
        soundfile.write(file, np.clip(pcm, -1.0, 1.0), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        kind = REVIEW if piece.worth is Worth.NEAR else "other"
        row = {
            "set": f"street-{self._view.setup.site}",
            "class": kind,
            "label": LABELS[kind],
            "group": f"{now:%Y%m%dT%H}-{piece.approach}",
            "licence": "own recording" if self._keeps_speech else "own recording, blurred",
            "seconds": f"{len(piece.pcm) / SAMPLE_RATE_HZ:.2f}",
            "score": f"{piece.score:.3f}",
        }
        self._street.add(f"{now:%Y%m%dT%H%M%S%f}Z-{piece.approach}-{piece.worth}", file.getvalue(), row)
        self.kept[piece.worth] += 1
        _log.info(
            "street: kept %.0f s of %s, %s, score %.2f",
            len(pcm) / SAMPLE_RATE_HZ,
            piece.approach,
            piece.worth,
            piece.score,
        )
