"""Keeps a set of one's own street while the daemon listens and calls as always: ``sirend record``."""

from __future__ import annotations

import io
import logging
import queue
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.evidence.blur import blurred
from sirend.evidence.clip import Hop
from sirend.evidence.street import Chooser, Piece, Worth
from sirend.evidence.street_set import LABELS, REVIEW, StreetSet
from sirend.host.priority import recede

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
        self._choosers = {each.name: Chooser(each.name, self._rng) for each in view.post.approaches}
        self._seen = 0
        self._queue: queue.Queue[Piece | None] = queue.Queue(WAITING)
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="sirend-street", daemon=True)
        self._writer = threading.Thread(target=self._write, name="sirend-street-disk", daemon=True)
        self.kept: dict[Worth, int] = dict.fromkeys(Worth, 0)
        """Pieces so far."""
        self.problem: str | None = None
        """What went wrong with the latest piece, or None."""

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._listener.start()
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is complete."""
        self._stop.set()
        self._listener.join(CLOSE_S)
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._writer.join(CLOSE_S)

    def _listen(self) -> None:
        recede()
        while not self._stop.wait(POLL_S):
            self.follow()
        self.follow()

    def follow(self) -> None:
        """Take what is new in the view."""
        news, hop = self._view.since(self._seen), to_samples(self._view.post.hop_s)
        for moment in news.moments:
            self._seen = moment.seq
            if news.window is None:
                continue
            until = news.window.pcm.shape[1] - (news.window.end - moment.end)
            for row, heard in enumerate(moment.heard):
                if until >= hop and heard.end is not None:
                    pcm = np.array(news.window.pcm[row, until - hop : until])
                    for piece in self._choosers[heard.approach].hear(Hop(heard.end, pcm, heard)):
                        self._offer(piece)

    def _offer(self, piece: Piece) -> None:
        try:
            self._queue.put_nowait(piece)
        except queue.Full:
            self._fail(f"street: a piece of {piece.approach} is dropped, the disk is too slow")

    def _fail(self, problem: str) -> None:
        self.problem = problem
        _log.error("%s; detection goes on", problem)

    def _write(self) -> None:
        recede()
        while (piece := self._queue.get()) is not None:
            try:
                self.keep(piece, datetime.now(UTC))
            except OSError as error:
                self._fail(f"street: a piece of {piece.approach} cannot be written: {error.strerror or error}")
            else:
                self.problem = None

    def keep(self, piece: Piece, now: datetime) -> None:
        """Write a piece that ended at ``now``; raise ``OSError`` where that is impossible."""
        import soundfile  # noqa: PLC0415  takes time, and only a recorder needs it

        pcm = piece.pcm if self._keeps_speech else blurred(piece.pcm, int(self._rng.integers(2**32)))
        file = io.BytesIO()
        soundfile.write(file, np.clip(pcm, -1.0, 1.0), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        kind = REVIEW if piece.worth is Worth.NEAR else "other"
        row = {
            "set": f"street-{self._view.post.site}",
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
