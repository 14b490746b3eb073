"""A network in the middle of its training, on disk: a stopped run goes on where it was."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras

log = logging.getLogger(__name__)

FILE = "checkpoint.npz"
LOG = "log.jsonl"


def keep(model: keras.Model, folder: Path, done: int, identity: str, losses: Sequence[float]) -> None:
    """Write the compiled ``model`` with its optimiser's state into ``folder``, in one piece, and a line of the log.

    ``done`` counts steps or epochs, ``losses`` are those since the last time; ``identity`` names everything that
    decides the result.
    """
    values = {f"v{number}": variable.numpy() for number, variable in enumerate(_variables(model))}
    unfinished = folder / f"{FILE}.part"
    with unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, done=done, identity=identity, **values)
    unfinished.replace(folder / FILE)
    with (folder / LOG).open("a") as stream:
        stream.write(json.dumps({"step": done, "loss": round(float(np.mean(losses)), 4)}) + "\n")


def resume(model: keras.Model, folder: Path, identity: str) -> int:
    """Load what ``folder`` holds and return how much was done; 0 when there is nothing of that ``identity``."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as saved:
            if str(saved["identity"]) != identity:
                return 0
            model.optimizer.build(model.trainable_variables)
            for number, variable in enumerate(_variables(model)):
                variable.assign(saved[f"v{number}"])
            done = int(saved["done"])
    except (FileNotFoundError, KeyError):  # none, or of another version
        return 0
    log.info("going on after %d", done)
    return done


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
