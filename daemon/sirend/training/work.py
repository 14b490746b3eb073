"""A long row of independent tasks on all cores; what was done before a stop is not done again."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from sirend.errors import SirendError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    Arrays = Mapping[str, Any]
    Task = Callable[[int], Arrays]


ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def spread(prepare: Callable[[], Task], count: int, identity: str, folder: Path, *, title: str) -> Iterator[Arrays]:
    """Yield the arrays that the tasks 0 to ``count`` return, in order.

    ``prepare`` makes the task anew in each process. ``identity`` names everything that decides the results: another one
    gets a folder of its own below ``folder``. What ``prepare`` or a task raises is raised here; ``SirendError`` when a
    process was ended from outside, such as for want of memory.
    """
    folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(count) if not (folder / f"{number}.npz").exists()]
    if missing:
        try:
            with closing(_done(prepare, missing, folder)) as running:
                for done in tqdm(running, total=len(missing), desc=title, unit="task", disable=None):
                    done.result()
        except BrokenProcessPool as error:
            raise SirendError(
                f"{title}: a process was ended from outside (out of memory?); start again: what was done is kept in "
                f"{folder}"
            ) from error
    for number in range(count):
        with np.load(folder / f"{number}.npz", allow_pickle=False) as saved:
            yield dict(saved)


def _done(prepare: Callable[[], Task], missing: Sequence[int], folder: Path) -> Generator[Future[None]]:
    """Yield the tasks ``missing`` as they end, which run on all cores; left early, those that still run are ended.

    The processes are forks, so that recordings are shared and not copied.
    """
    context = multiprocessing.get_context("fork")
    most = min(len(missing), os.cpu_count() or 1)
    with ProcessPoolExecutor(most, context, _Worker.start, (prepare, folder)) as processes:
        try:
            yield from as_completed([processes.submit(_Worker.write, number) for number in missing])
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


class _Worker:
    """State of one process."""

    prepare: Callable[[], Task]
    task: Task | None = None
    folder: Path

    @classmethod
    def start(cls, prepare: Callable[[], Task], folder: Path) -> None:
        """Begin. A signal that ends a process ends it at once: what the command does at one would wait for others."""
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        cls.prepare, cls.folder = staticmethod(prepare), folder

    @classmethod
    def write(cls, number: int) -> None:
        if cls.task is None:  # not as the process begins: no one hears of what is raised then
            cls.task = staticmethod(cls.prepare())
        unfinished = cls.folder / f"{number}.part"
        with unfinished.open("wb") as stream:
            np.savez(stream, **cls.task(number))
        unfinished.rename(cls.folder / f"{number}.npz")
