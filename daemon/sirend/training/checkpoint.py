"""A network in the middle of its training, on disk: a stopped run goes on where it was."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import keras

log = logging.getLogger(__name__)

FILE = "kept.npz"


def keep(model: keras.Model, folder: Path, done: int, identity: str) -> None:
    """Write the compiled ``model`` with its optimiser's state into ``folder``, in one piece.

    ``done`` counts steps or epochs; ``identity`` names everything that decides the result.
    """
    values = {f"v{number}": variable.numpy() for number, variable in enumerate(_variables(model))}
    unfinished = folder / f"{FILE}.part"
    with unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, done=done, identity=identity, **values)
    unfinished.replace(folder / FILE)


def resume(model: keras.Model, folder: Path, identity: str) -> int:
    """Load what ``folder`` holds and return how much was done; 0 when there is nothing of that ``identity``.

    The optimiser of ``model`` is built.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as saved:
            if str(saved["identity"]) != identity:
                return 0
            for number, variable in enumerate(_variables(model)):
                variable.assign(saved[f"v{number}"])
            done = int(saved["done"])
    except FileNotFoundError:
        return 0
    log.info("going on after %d", done)
    return done


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
