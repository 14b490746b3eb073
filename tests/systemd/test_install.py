"""``systemd/install`` into an image: what it leaves behind, and that a refused upgrade leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\\nwhile [ -e "$HOLD" ]; do touch "$HOLD.seen"; sleep 0.02; done\\n' > "$3/bin/pip"
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


def variables_of(programs: Path, image: Path, refuses: int = 0) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHON": "python",
        "DESTDIR": str(image),
        "REFUSES": str(refuses),
        "EXTRAS": "",
        "HOLD": str(programs / "hold"),
    }


INSTALL = ["sh", str(ROOT / "systemd" / "install")]


def install(programs: Path, image: Path, refuses: int = 0) -> subprocess.CompletedProcess[str]:
    variables = variables_of(programs, image, refuses)
    return subprocess.run(INSTALL, env=variables, capture_output=True, text=True, timeout=60, check=False)


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


@contextmanager
def half_way(programs: Path, image: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield an installation that stands where the new version is being built."""
    hold, seen = programs / "hold", programs / "hold.seen"
    hold.touch()
    # A shell cannot trap what was ignored when it began, as under nohup.
    words = ["env", "--default-signal=INT,HUP", *INSTALL]
    process = subprocess.Popen(words, env=variables_of(programs, image), start_new_session=True)
    try:
        end = time.monotonic() + 60.0
        while not seen.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        yield process
    finally:
        hold.unlink(missing_ok=True)
        seen.unlink(missing_ok=True)
        process.wait(60.0)


def versions(image: Path) -> int:
    return len(list((image / "opt/sirend-versions").glob("*")))


def test_a_second_one_at_the_same_time_is_refused(programs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    assert install(programs, image).returncode == 0
    with half_way(programs, image) as first:
        second = install(programs, image)
        assert second.returncode == 75
        assert "another installation is under way" in second.stderr
    assert first.returncode == 0
    assert versions(image) == 1


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_that_was_cut_off_leaves_the_old_one_at_work_and_the_next_tidies(
    programs: Path, tmp_path: Path, end: signal.Signals
) -> None:
    image = tmp_path / "image"
    assert install(programs, image).returncode == 0
    at_work = (image / "opt/sirend").readlink()
    with half_way(programs, image) as process:
        os.killpg(process.pid, end)
        process.wait(60.0)
    assert process.returncode != 0
    assert (image / "opt/sirend").readlink() == at_work
    assert versions(image) == (2 if end is signal.SIGKILL else 1)
    (image / "opt/sirend.new").symlink_to("/opt/sirend-versions/gone")
    assert install(programs, image).returncode == 0
    assert versions(image) == 1
    assert not (image / "opt/sirend.new").is_symlink()


def test_a_disk_that_is_full_leaves_no_half_of_a_configuration(programs: Path, tmp_path: Path) -> None:
    """``install`` begins the file, and then finds no room; the next installation took it for the site's own."""
    image = tmp_path / "image"
    full = programs / "install"
    full.write_text('#!/bin/sh\nfor last; do :; done\ncase $last in */sirend.yaml*) : > "$last"; exit 1;; esac\n')
    full.write_text(full.read_text() + 'PATH=${PATH#*:} exec install "$@"\n')
    full.chmod(0o755)
    assert install(programs, image).returncode != 0
    assert not list(image.rglob("sirend.yaml*"))
    full.unlink()
    assert install(programs, image).returncode == 0
    assert (image / "etc/sirend/sirend.yaml").read_text() == (ROOT / "conf" / "sirend.yaml").read_text()
