"""``python -m sirend.evidence.render``: the process that draws a clip's picture, so that the daemon need not.

It reads a pickled clip from its parent on the standard input and writes a PNG to the standard output.
"""

from __future__ import annotations

import pickle
import sys

from sirend.host.priority import recede


def main() -> None:
    """Draw one picture."""
    recede()
    clip, is_private = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own parent
    sys.stdout.buffer.write(clip.picture(is_private=is_private))


if __name__ == "__main__":
    main()
