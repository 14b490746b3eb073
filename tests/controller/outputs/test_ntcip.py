from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.controller.outputs.faulty import Cable, bytes_of, call

from sirend.config.listen_settings import NtcipConfig, Preempt
from sirend.controller.outputs import BEAT_S, Report
from sirend.controller.outputs.ntcip import PREEMPT_CONTROL_STATE, Ntcip
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import SignalController

pytestmark = pytest.mark.system
PATIENCE_S = 60.0
PREEMPTS = (Preempt("north", 1), Preempt("east", 3))
RESTING, SERVED = Report(True, "notActive", None), Report(True, "dwell", None)


def config(controller: SignalController, **changes: object) -> NtcipConfig:
    settings: dict[str, object] = {"port": controller.port, "community_file": controller.community, **changes}
    return NtcipConfig(**{"preempts": PREEMPTS, **settings})  # type: ignore[arg-type]


@contextmanager
def beating(output: Ntcip) -> Iterator[Callable[[str, Callable[[Report], bool]], Report]]:
    """Enter an output; yield a function that beats it until the report of an approach is as wished, and returns it."""

    def until(approach: str, holds: Callable[[Report], bool]) -> Report:
        end = time.monotonic() + PATIENCE_S
        while True:
            output.beat()
            report = output.report(approach)
            assert report is not None
            if holds(report):
                return report
            assert time.monotonic() < end, report
            time.sleep(0.02)

    with output:
        yield until


def test_a_call_sets_its_preempt_and_the_controller_confirms(
    make_controller: Callable[..., SignalController],
) -> None:
    controller = make_controller()
    output = Ntcip(config(controller))
    with beating(output) as until:
        until("north", lambda report: report == RESTING)
        assert output.report("west") is None
        output.act(call("west"))
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
        assert until("east", lambda report: report.confirmed is True) == RESTING
        output.act(call("north", "clear"))
        until("north", lambda report: report == RESTING)
        output.act(call("east"))
        until("east", lambda report: report == SERVED)
    assert controller.preempts == [(1, 1), (1, 0), (3, 1), (3, 0)]  # the last when it was left


def test_a_preempt_that_waits_is_not_confirmed(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller()
    output = Ntcip(config(controller, preempts=(Preempt("north", 4),)))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == Report(None, "notActiveWithCall", None))


def test_an_earlier_run_that_left_a_preempt_is_cleaned_up(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller(backup_s=60)
    crashed = Ntcip(config(controller, backup_s=60))
    with beating(crashed) as until:
        crashed.act(call("east"))
        until("east", lambda report: report == SERVED)
        with beating(Ntcip(config(controller, backup_s=60))) as later:
            later("east", lambda report: report == RESTING)
    assert controller.preempts[:2] == [(3, 1), (3, 0)]


def test_an_agent_that_falls_silent_is_reported_and_gets_what_is_true_when_it_is_back(
    make_controller: Callable[..., SignalController],
) -> None:
    controller = make_controller()
    output = Ntcip(config(controller))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
        controller.freeze(yes=True)
        lost = until("north", lambda report: report.confirmed is False)
        assert lost.problem is not None
        assert f"controller 127.0.0.1:{controller.port} does not answer: " in lost.problem
        output.act(call("north", "clear"))
        controller.freeze(yes=False)
        until("north", lambda report: report == RESTING)
    assert controller.preempts == [(1, 1), (1, 0)]


def test_when_the_listener_hangs_the_preempt_is_taken_back(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller(backup_s=60)
    output = Ntcip(config(controller, backup_s=60))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
        hangs_since = time.monotonic()
        while controller.preempts != [(1, 1), (1, 0)]:  # nobody beats it meanwhile
            assert time.monotonic() < hangs_since + PATIENCE_S
            time.sleep(0.05)
        assert time.monotonic() - hangs_since >= BEAT_S - 0.1


@pytest.mark.parametrize("backup_s", [0, 30])
def test_a_controller_that_would_keep_a_call_for_ever_is_not_called(
    make_controller: Callable[..., SignalController], backup_s: int
) -> None:
    controller = make_controller(backup_s=backup_s)
    output = Ntcip(config(controller))
    with beating(output) as until:
        output.act(call("north"))
        report = until("north", lambda report: "is not called" in (report.problem or ""))
        assert report.confirmed is False
        assert "its unitBackupTime must be 1 to 5 s" in (report.problem or "")
        time.sleep(1.2)
    assert controller.preempts == []


def test_without_the_check_it_is_called(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller(backup_s=0)
    output = Ntcip(config(controller, backup_s=None))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"community": "watching-community"}, "refused "),
        ({"community": "wrong-community"}, "does not answer: "),
        ({"preempts": (Preempt("north", 77),)}, "refused "),
    ],
)
def test_what_the_agent_refuses_is_a_problem(
    make_controller: Callable[..., SignalController],
    changes: dict[str, object],
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    controller = make_controller()
    community = str(changes.pop("community", "right-community"))
    controller.community.write_text(community)
    output = Ntcip(config(controller, **changes))
    with beating(output) as until:
        output.act(call("north"))
        report = until("north", lambda report: problem in (report.problem or ""))
        assert report.confirmed is False
    assert controller.preempts == []
    assert community not in repr(report) + caplog.text


def test_snmp_v3_is_authenticated_and_encrypted(
    make_controller: Callable[..., SignalController], tmp_path: Path
) -> None:
    controller = make_controller()
    auth, priv = tmp_path / "auth", tmp_path / "priv"
    auth.write_text("authentication-password\n")
    priv.write_text("privacy-password\n")
    v3 = {"version": "v3", "user": "sirend", "auth": "sha256", "auth_file": auth, "priv_file": priv}
    with beating(output := Ntcip(config(controller, **v3))) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
    priv.write_text("another-password\n")
    with beating(Ntcip(config(controller, **v3))) as until:
        report = until("north", lambda report: "does not answer" in (report.problem or ""))
        assert "password" not in repr(report)
    assert controller.preempts == [(1, 1), (1, 0)]


def test_a_secret_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the secret cannot be read"):
        Ntcip(NtcipConfig(community_file=tmp_path / "none", preempts=PREEMPTS))
    (tmp_path / "binary").write_bytes(b"\xff\xff\n")
    with pytest.raises(ConfigError, match="the secret is not ASCII text"):
        Ntcip(NtcipConfig(community_file=tmp_path / "binary", preempts=PREEMPTS))


V3 = {"version": "v3", "user": "sirend", "auth": "sha256"}


@pytest.fixture
def passwords(tmp_path: Path) -> dict[str, Path]:
    files = {"auth_file": tmp_path / "auth", "priv_file": tmp_path / "priv"}
    files["auth_file"].write_text("authentication-password\n")
    files["priv_file"].write_text("privacy-password\n")
    return files


@pytest.mark.parametrize("swapped", [True, False], ids=["another-engine", "the-same-restarted"])
def test_a_v3_controller_that_was_swapped_or_restarted_is_found_again(
    make_controller: Callable[..., SignalController], passwords: dict[str, Path], *, swapped: bool
) -> None:
    controller = make_controller()
    output = Ntcip(config(controller, timeout_s=0.4, preempts=PREEMPTS[:1], **V3, **passwords))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        controller.stop()
        until("north", lambda report: "does not answer" in (report.problem or ""))
        if swapped:
            controller.forget_engine()
        controller.start()
        until("north", lambda report: report == SERVED)
        assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 1


def test_a_v3_controller_whose_count_of_starts_was_reset_is_found_again_in_a_call(
    make_controller: Callable[..., SignalController], passwords: dict[str, Path]
) -> None:
    """What was said after the latest start of a controller may not be said after an earlier one, RFC 3414 has it."""
    controller = make_controller()
    controller.stop(signal.SIGTERM)
    controller.set_boots(41)
    controller.start()
    output = Ntcip(config(controller, timeout_s=0.4, preempts=PREEMPTS[:1], **V3, **passwords))
    with beating(output) as until:
        output.act(call("north"))
        until("north", lambda report: report == SERVED)
        controller.stop(signal.SIGTERM)
        controller.set_boots(0)
        controller.start()
        began_s = time.monotonic()
        until("north", lambda report: len(controller.preempts) > 1 and report == SERVED)
        assert time.monotonic() - began_s < 20.0  # about a second where nothing else runs
        assert controller.preempts[-1] == (1, 1)


def lossy(controller: SignalController, **changes: object) -> tuple[Cable, Ntcip]:
    """Return a cable to a controller, and an output at its other end that waits .3 s for an answer and asks once."""
    cable = Cable(controller.port)
    return cable, Ntcip(
        config(controller, port=cable.port, timeout_s=0.3, retries=0, **{"preempts": PREEMPTS[:1], **changes})
    )


@pytest.mark.parametrize("backup_s", [60, None])
def test_a_closing_set_that_is_lost_is_said_again(
    make_controller: Callable[..., SignalController], backup_s: int | None
) -> None:
    controller = make_controller(backup_s=60)
    cable, output = lossy(controller, backup_s=backup_s)
    control = bytes_of(f"{PREEMPT_CONTROL_STATE}.1")
    lost: list[bytes] = []

    def loses(data: bytes) -> bool:
        if control in data and len(lost) < 3:
            lost.append(data)
            return True
        return False

    try:
        with beating(output) as until:
            output.act(call("north"))
            until("north", lambda report: report == SERVED)
            cable.loses = loses
        assert len(lost) == 3
        assert controller.preempts == [(1, 1), (1, 0)]
    finally:
        cable.close()


def test_a_controller_that_never_confirms_is_told_until_its_backup_time_is_over(
    make_controller: Callable[..., SignalController], caplog: pytest.LogCaptureFixture
) -> None:
    controller = make_controller(backup_s=3)
    cable, output = lossy(controller, backup_s=5)
    try:
        with beating(output) as until:
            output.act(call("north"))
            until("north", lambda report: report == SERVED)
            cable.loses = lambda _: True
            left_at = time.monotonic()
        assert 3.0 < time.monotonic() - left_at < output.leave_s + 0.5
        assert controller.preempts == [(1, 1), (1, 0)]  # by its backup time
        assert "did not confirm the end of the call of north" in caplog.text
    finally:
        cable.close()


def test_a_controller_that_was_not_called_is_not_waited_for(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller(backup_s=60)
    cable, output = lossy(controller, backup_s=None)
    try:
        with beating(output) as until:
            until("north", lambda report: report == RESTING)
            cable.loses = lambda _: True
            left_at = time.monotonic()
        assert time.monotonic() - left_at < 3.0
    finally:
        cable.close()


def test_timeout_and_retries_are_those_of_the_configuration(make_controller: Callable[..., SignalController]) -> None:
    controller = make_controller()
    cable = Cable(controller.port)
    output = Ntcip(config(controller, port=cable.port, timeout_s=0.2, retries=4))
    seen: list[float] = []

    def loses(data: bytes) -> bool:
        if bytes_of(f"{PREEMPT_CONTROL_STATE}.1") not in data:
            return False
        seen.append(time.monotonic())
        return True

    try:
        with beating(output) as until:
            until("north", lambda report: report == RESTING)
            cable.loses = loses
            until("north", lambda report: "does not answer" in (report.problem or ""))
            first = [at for at in seen if at - seen[0] < 1.5]
            cable.loses = lambda _: False
        assert len(first) == 5
        assert 0.6 < first[-1] - first[0] < 1.4
    finally:
        cable.close()
