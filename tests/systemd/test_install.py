"""``systemd/install`` into an image: what it leaves behind, and that a refused upgrade leaves nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\\nexit 0\\n' > "$3/bin/pip"
printf '#!/bin/sh\\nexit "${REFUSES:-0}"\\n' > "$3/bin/sirend"
chmod 755 "$3/bin/pip" "$3/bin/sirend"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder of programs that stand for those that need root, a network or minutes."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in {
        "python": PYTHON,
        "id": "#!/bin/sh\necho 0\n",
        "dpkg-query": "#!/bin/sh\necho installed\n",
        "systemd-sysusers": "#!/bin/sh\n",
        "systemd-tmpfiles": '#!/bin/sh\nmkdir -p "${1#--root=}/etc/sirend"\n',
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def install(programs: Path, image: Path, refuses: int = 0) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHON": "python",
        "DESTDIR": str(image),
        "REFUSES": str(refuses),
        "EXTRAS": "",
    }
    words = ["sh", str(ROOT / "systemd" / "install")]
    return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=60, check=False)


def tree(image: Path) -> dict[str, str]:
    return {
        str(path.relative_to(image)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text(errors="replace")
        for path in sorted(image.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_the_command_is_on_the_path(programs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    done = install(programs, image)
    assert done.returncode == 0, done.stderr
    made = tree(image)
    assert made["usr/local/bin/sirend"] == "-> /opt/sirend/bin/sirend"
    assert made["opt/sirend"].startswith("-> /opt/sirend-versions/")
    assert made["etc/sirend/sirend.yaml"] == (ROOT / "conf" / "sirend.yaml").read_text()
    assert "sirend is installed. Next: edit" in done.stdout


def test_a_refused_upgrade_changes_nothing_at_all(programs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    assert install(programs, image, refuses=78).returncode == 78
    assert tree(image) == {}
    assert install(programs, image).returncode == 0
    (image / "etc/sirend/sirend.yaml.default").write_text("of the version before\n")
    (image / "usr/local/lib/systemd/system/sirend.service").write_text("of the version before\n")
    before = tree(image)
    refused = install(programs, image, refuses=78)
    assert refused.returncode == 78
    assert "nothing was changed" in refused.stderr
    assert tree(image) == before


def test_an_upgrade_takes_the_old_one_away_and_leaves_a_program_of_that_name(programs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "usr/local/bin").mkdir(parents=True)
    (image / "usr/local/bin/sirend").write_text("something else\n")
    assert install(programs, image).returncode == 0
    assert install(programs, image).returncode == 0
    assert len(list((image / "opt/sirend-versions").iterdir())) == 1
    assert (image / "usr/local/bin/sirend").read_text() == "something else\n"
