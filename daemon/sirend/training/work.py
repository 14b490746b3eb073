"""A long row of independent tasks on all cores; what was done before a stop is not done again."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.pool import Pool
    from pathlib import Path

    Arrays = Mapping[str, Any]
    Task = Callable[[int], Arrays]


ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def workers(most: int, start: Callable[..., None], *parts: object) -> Iterator[Pool]:
    """Give processes on all cores, at most ``most``; each begins with ``start(*parts)``.

    They are forks, so that recordings are shared and not copied. A signal that ends one ends it at once: what the
    command does at such a signal would let it wait for ever for what another one held.
    """
    context = multiprocessing.get_context("fork")
    with context.Pool(min(most, os.cpu_count() or 1), _begin, (start, parts)) as processes:
        yield processes
        processes.close()
        processes.join()


def _begin(start: Callable[..., None], parts: tuple[object, ...]) -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    start(*parts)


def spread(prepare: Callable[[], Task], count: int, identity: str, folder: Path, *, title: str) -> Iterator[Arrays]:
    """Yield the arrays that the tasks 0 to ``count`` return, in order.

    ``prepare`` makes the task anew in each process. ``identity`` names everything that decides the results: another one
    gets a folder of its own below ``folder``.
    """
    folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(count) if not (folder / f"{number}.npz").exists()]
    if missing:
        with workers(len(missing), _Worker.start, prepare, folder) as processes:
            done = processes.imap_unordered(_Worker.write, missing)
            for _ in tqdm(done, total=len(missing), desc=title, unit="task", disable=None):
                pass
    for number in range(count):
        with np.load(folder / f"{number}.npz", allow_pickle=False) as saved:
            yield dict(saved)


class _Worker:
    """State of one process."""

    task: Task
    folder: Path

    @classmethod
    def start(cls, prepare: Callable[[], Task], folder: Path) -> None:
        cls.task, cls.folder = staticmethod(prepare()), folder

    @classmethod
    def write(cls, number: int) -> None:
        unfinished = cls.folder / f"{number}.part"
        with unfinished.open("wb") as stream:
            np.savez(stream, **cls.task(number))
        unfinished.rename(cls.folder / f"{number}.npz")
