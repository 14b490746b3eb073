"""Whether an Ogg file ends where its last page does: a decoder leaves out a page that is not whole without a word."""

from __future__ import annotations

import os

CAPTURE = b"OggS\0"
"""How a page begins: pattern and version (RFC 3533, section 6)."""
HEAD = 27
"""Bytes before the table of segments, whose last says how many they are."""
LONGEST = HEAD + 255 + 255 * 255


def is_cut(descriptor: int) -> bool:
    """Return whether the last page that begins in the file open as ``descriptor`` goes on behind the file's end.

    The file's position stays where it is.
    """
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, LONGEST, max(0, size - LONGEST))
    begin = tail.rfind(CAPTURE)
    if begin < 0:
        return False
    page = tail[begin:]
    segments = page[HEAD - 1] if len(page) >= HEAD else LONGEST
    return len(page) < HEAD + segments + sum(page[HEAD : HEAD + segments])
