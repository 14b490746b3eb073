from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.transitions import CALL, CLEAR

from sirend.audio.stream import Samples
from sirend.call.clock import ReplayClock
from sirend.call.eta import KEYS
from sirend.call.scribe import Scribe
from sirend.detect.arrival import Arrival
from sirend.evidence.clip import name_of
from sirend.observe.calls import History, clip_name
from sirend.observe.moment import event_values
from sirend.publish.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.call.event import Event


def run(boot_id: str, *approaches: str, ends: bool = True) -> list[Event]:
    scribe = Scribe(site="s", boot_id=boot_id, mode="live", model="m", clock=ReplayClock(), valid_for_s=5.0)
    made = []
    for number, name in enumerate(approaches):
        made.append(scribe.write(replace(CALL, approach=name, at=Samples(320_000 * number))))
        if ends:
            made.append(scribe.write(replace(CLEAR, approach=name, at=Samples(320_000 * number + 160_000))))
    return made


def test_what_the_journal_holds_is_there_after_a_restart_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path, 10**6) as journal:
        for event in [*run("one", "north"), *run("two", "south", ends=False)]:
            journal.publish(event)
    history = History(path)
    for event in run("three", "north", ends=False):
        assert history.add_event(event)
        assert not history.add_event(event)
    calls = history.calls()
    assert [(call["approach"], call["stands"], call["reason"]) for call in calls] == [
        ("north", False, "quiet"),
        ("south", False, None),
        ("north", True, None),
    ]
    assert calls[0]["ended_at"] == "1970-01-01T00:00:10.000Z"
    assert calls[1]["ended_at"] is None, "the daemon was cut off in it"
    assert [event["state"] for event in history.events(2)] == ["approaching", "approaching"]


def test_an_event_that_the_journal_had_first_is_there_once(tmp_path: Path) -> None:
    path, made = tmp_path / "events.jsonl", run("one", "north")
    with Journal(path, 10**6) as journal:
        journal.publish(made[0])
    history = History(path)
    assert [history.add_event(event) for event in made] == [False, True]
    assert len(history.calls()) == 1


def test_a_call_has_the_names_of_its_files() -> None:
    history = History()
    (event,) = run("one", "north", ends=False)
    history.add_event(event)
    name = name_of(event)
    assert clip_name(event_values(event)) == name
    (call,) = history.calls({f"{name}.png", f"{name}.json", "other.flac"})
    assert (call["name"], call["kept"]) == (name, ["png", "json"])


def test_no_journal_is_an_empty_history(tmp_path: Path) -> None:
    assert History(tmp_path / "none.jsonl").calls() == []


def test_a_call_has_the_time_to_go_where_its_beginning_knew_it() -> None:
    scribe = Scribe(site="s", boot_id="b", mode="live", model="m", clock=ReplayClock(), valid_for_s=5.0)
    history = History()
    history.add_event(scribe.write(replace(CALL, arrival=Arrival(6.04, 3.21, 8.96))))
    history.add_event(scribe.write(CLEAR))
    history.add_event(scribe.write(replace(CALL, at=Samples(320_000))))
    assert [[call[key] for key in KEYS] for call in history.calls()] == [[6.0, 3.2, 9.0], [None] * 3]
