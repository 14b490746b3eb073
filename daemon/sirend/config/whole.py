"""Whether a configuration file is all there. One that was cut off may look whole, and lack what protects. Pure."""

from __future__ import annotations

SIGNING = "mqtt.sign_key_file"


def stated(content: object) -> frozenset[str]:
    """Return the keys, such as ``mqtt.port``, that the mapping ``content`` gives a value; those of lists are left out.

    What is written out, were it ``null``, is meant: no cut adds a key.
    """
    keys: set[str] = set()
    todo = [("", content)]
    while todo:
        within, part = todo.pop()
        for key, value in part.items() if isinstance(part, dict) else ():
            keys.add(f"{within}{key}")
            todo.append((f"{within}{key}.", value))
    return frozenset(keys)


def unfinished(who: str, text: str, content: object) -> list[str]:
    """Return what makes one doubt that a file is whole by which somebody acts, as ``who`` says.

    ``text`` is the file and ``content`` what it holds. A cut within a line leaves no line break at the end (the value
    may be half one, ``max_calls_per_hour: 2`` of 20); a cut between lines may leave out the signing.
    """
    problems = []
    if SIGNING not in stated(content):
        problems.append(
            f"{SIGNING} is missing, and {who}: write the key's file, or null where nothing is to be signed; a file "
            "that was cut off looks just like that"
        )
    if not text.endswith(("\n", "\r")):
        problems.append(
            f"the last line does not end, and {who}: was the file cut off? If it is whole, end it with Enter"
        )
    return problems
