"""Networks that take windows of 2 s and remember nothing: what bundles of the manifest's first version are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.detect.network import Network

if TYPE_CHECKING:
    from sirend.detect.bundle import Backbone, Bundle
    from sirend.detect.features import Spectrogram

Floats = npt.NDArray[np.float32]


class Windowed:
    """What the networks say that take windows."""

    def __init__(self, bundle: Bundle, approaches: int) -> None:
        """Load the networks of ``bundle``; raises ``ConfigError`` as ``Classifier``."""
        spec = bundle.feature_spec
        inputs: list[tuple[int, ...]] = [(spec.frames, spec.bands)]
        self._backbone = None
        if bundle.backbone is not None:
            self._backbone = PatchListener(bundle, bundle.backbone, approaches)
            inputs.append((len(bundle.backbone.places), bundle.backbone.outputs))
        self._network = Network(bundle.path, bundle.model_bytes, rows=approaches, inputs=inputs, outputs=1)
        self._calibration = bundle.calibration

    def log_odds(self, spectrogram: Spectrogram) -> npt.NDArray[np.float64]:
        """Return float64[approaches], calibrated."""
        inputs = [spectrogram.log]
        if self._backbone is not None:
            inputs.append(self._backbone.embeddings(spectrogram))
        logits = self._network(*inputs)[:, 0].astype(np.float64)
        return np.asarray(self._calibration.scale * logits + self._calibration.offset)


class PatchListener:
    """Listens to patches of a window, to each once: windows overlap, and share the patches that lie in both."""

    def __init__(self, bundle: Bundle, described: Backbone, approaches: int) -> None:
        """Load the network ``described`` of ``bundle`` for ``approaches``; raises ``ConfigError`` as ``Classifier``."""
        self._places, self._frames = described.places, described.patch_frames
        self._network = Network(
            bundle.path,
            described.model_bytes,
            rows=approaches,
            inputs=[(self._frames, bundle.feature_spec.bands)],
            outputs=described.outputs,
        )
        self.judged = 0
        """Patches listened to so far."""

    def embeddings(self, spectrogram: Spectrogram) -> Floats:
        """Return float32[approaches, places, outputs] of the patches of a window."""
        said = spectrogram.said
        for place in self._places:
            if place not in said:
                said[place] = self._network(spectrogram.patch(place, self._frames))
                self.judged += 1
        return np.stack([said[place] for place in self._places], axis=1)
