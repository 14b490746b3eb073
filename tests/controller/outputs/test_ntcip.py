from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sirend.call.state import CallState
from sirend.client import Call
from sirend.config.listen import NtcipConfig, Preempt
from sirend.controller.outputs import BEAT_S, Report
from sirend.controller.outputs.ntcip import Ntcip
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import SignalController

pytestmark = pytest.mark.system
PATIENCE_S = 60.0
PREEMPTS = (Preempt("north", 1), Preempt("east", 3))
RESTING, SERVED = Report(True, "notActive", None), Report(True, "dwell", None)


def call(approach: str, state: str = "approaching") -> Call:
    return Call("s", approach, CallState(state), "siren", datetime.now(UTC), None)


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
