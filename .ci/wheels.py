"""Fetch the wheels that sirend and some extras need on another machine: wheels.py FOLDER TARGET [EXTRA,EXTRA...].

TARGET is a Python and a processor, such as ``3.13-aarch64``. Versions are those of ``constraints.txt``. pip judges
environment markers by the Python that it runs on, whatever ``--python-version`` says, so what is needed is worked out
here from the metadata of what is installed, and pip fetches exactly that. A package without a wheel is an error: at a
junction nothing can be compiled.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
GLIBC = {"3.11": 36, "3.12": 36, "3.13": 41}
"""Minor version of glibc 2 on the Debian that has this Python: 12 has 3.11, 13 has 3.13."""


def pins() -> dict[str, str]:
    """Return the version of each package in ``constraints.txt``."""
    lines = (HERE / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def needed(python: str, machine: str, extras: set[str]) -> set[str]:
    """Return the names of all packages that sirend with ``extras`` needs there, its own left out."""
    there = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    seen: set[tuple[str, str]] = set()
    todo = [("sirend", extra) for extra in ("", *extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in metadata.requires(name) or []:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({**there, "extra": extra}):
                todo += [(canonicalize_name(wanted.name), each) for each in ("", *wanted.extras)]
    return {name for name, _ in seen} - {"sirend"}


def main(folder: str, target: str, extras: str = "") -> None:
    """Fill ``folder``; end with a word on what is missing."""
    python, _, machine = target.partition("-")
    if python not in GLIBC or machine not in ("x86_64", "aarch64"):
        sys.exit(f"{target}: a target is one of {', '.join(GLIBC)} and a processor, x86_64 or aarch64: 3.13-aarch64")
    versions = pins()
    names = needed(python, machine, set(filter(None, extras.split(","))))
    if unpinned := names - versions.keys():
        sys.exit(f"constraints.txt has no version of {', '.join(sorted(unpinned))}")
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[python], 16, -1)]
    platforms += [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, str(HERE.parent)], check=True)
    words = ["download", "--no-deps", "--only-binary=:all:", "--python-version", python, "--dest", folder]
    for platform in platforms:
        words += ["--platform", platform]
    done = subprocess.run([*pip, *words, *sorted(f"{name}=={versions[name]}" for name in names)], check=False)
    if done.returncode:
        sys.exit(f"not every package has a wheel for {target} (above)")
    print(f"{target}: sirend and all {len(names)} packages that it needs have wheels, now in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
