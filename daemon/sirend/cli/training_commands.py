"""The commands of the extra ``train``: each is a module of ``sirend.training``, imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from sirend.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

TRAINING = {
    "train": "make a model bundle from a folder of recordings",
    "evaluate": "measure a model bundle on a folder of recordings",
}
"""The commands of the extra ``train``; each has a module in ``sirend.training``."""


def training_module(name: str) -> Any:  # noqa: ANN401  a module with ``add_arguments`` and ``main``
    """Return the module of a training command; raise ``UsageError`` when its dependencies are missing."""
    try:
        return importlib.import_module(f"sirend.training.{name}")
    except ModuleNotFoundError as error:
        raise _needs_training(name) from error


def training(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the function of a training command."""

    def command(args: argparse.Namespace) -> int:
        try:
            return int(training_module(name).main(args))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("tensorflow", "keras"):
                raise _needs_training(name) from error
            raise

    return command


def _needs_training(name: str) -> UsageError:
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return UsageError(f"`sirend {name}` needs TensorFlow, which {version} may lack: make venv EXTRAS=train")
