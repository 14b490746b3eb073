from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.observe.test_snapshot import events

from sirend.call.event import to_json
from sirend.cli import main as cli
from sirend.errors import InputError
from sirend.publish.journal_reader import Wanted, event_line, read_events, tail, write_csv

if TYPE_CHECKING:
    from pathlib import Path

MOMENT = "1970-01-01T00:00:00Z"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    made = [to_json(event) for event in events(4)]
    (tmp_path / "events.jsonl.1").write_text("".join(text + "\n" for text in made[:2]) + made[2][:40] + "\n")
    (tmp_path / "events.jsonl").write_text("".join(text + "\n" for text in [*made[2:], '{"schema": "other"}']))
    return tmp_path / "events.jsonl"


def test_both_files_are_read_in_order_and_torn_lines_are_named(journal: Path) -> None:
    torn: list[str] = []
    assert [event["seq"] for event in read_events(journal, torn)] == [1, 2, 3, 4]
    assert torn == [f"{journal}.1, line 3", f"{journal}, line 3"]


@pytest.mark.parametrize(
    "damage",
    [
        {"at": None},
        {"type": 7},
        {"approach": ["main"]},
        {"confidence": "high"},
        {"confidence": float("nan")},
        {"level_dbfs": 10**400},
    ],
)
def test_an_event_that_lacks_what_is_shown_of_it_is_torn(tmp_path: Path, damage: dict[str, object]) -> None:
    event = json.loads(to_json(events(1)[0]))
    journal = tmp_path / "events.jsonl"
    journal.write_text(json.dumps({**event, **damage}) + "\n" + json.dumps(event) + "\n")
    torn: list[str] = []
    assert list(read_events(journal, torn)) == [event]
    assert torn == [f"{journal}, line 1"]


def test_a_journal_of_an_older_and_of_a_newer_version_is_read(tmp_path: Path) -> None:
    """What came with later versions may lack, and what is still to come may be there: an upgrade and its way back."""
    event = json.loads(to_json(events(1)[0]))
    later = {"tone", "advisory", "bearing_deg", "bearing_sd_deg", "eta_s", "eta_low_s", "eta_high_s", "kid", "sig"}
    old = {key: value for key, value in event.items() if key not in later}
    new = {**event, "speed_kmh": 50, "tone": "a kind of its own"}
    journal = tmp_path / "events.jsonl"
    journal.write_text("".join(json.dumps(each) + "\n" for each in (old, new)))
    torn: list[str] = []
    assert list(read_events(journal, torn)) == [old, new]
    assert tail(journal, 100_000) == [old, new]
    assert torn == []
    out = io.StringIO()
    write_csv([old, new], out)
    assert [row["at"] for row in csv.DictReader(io.StringIO(out.getvalue()))] == [old["at"], new["at"]]
    assert all(event_line(each).startswith(event["at"]) for each in (old, new))


def test_lines_that_are_no_text_or_too_deep_are_torn(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_bytes(b"\xff\xfe\n" + b"[" * 100_000 + b"\n" + b"1" * 5_000 + b"\n")
    torn: list[str] = []
    assert list(read_events(journal, torn)) == []
    assert torn == [f"{journal}, line {number}" for number in (1, 2, 3)]


def test_a_missing_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        list(read_events(tmp_path / ("x" * 300), []))
    with pytest.raises(InputError, match="there is no journal"):
        list(read_events(tmp_path / "none", []))


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        (Wanted(), [1, 2, 3, 4]),
        (Wanted(type="approaching"), [1, 3]),
        (Wanted(type="cleared"), [2, 4]),
        (Wanted(approach="main", type="cleared"), [2, 4]),
        (Wanted(approach="north"), []),
        (Wanted(since=datetime.fromisoformat(MOMENT)), [1, 2, 3, 4]),
        (Wanted(until=datetime.fromisoformat(MOMENT)), []),
        (Wanted(since=datetime.fromisoformat("1970-01-01T01:00:00.001+01:00")), []),
    ],
)
def test_events_are_filtered(journal: Path, wanted: Wanted, seqs: list[int]) -> None:
    assert [event["seq"] for event in filter(wanted.includes, read_events(journal, []))] == seqs


def test_csv_has_a_header_and_a_row_an_event(journal: Path) -> None:
    file = io.StringIO()
    write_csv(read_events(journal, []), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["seq"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0] == rows[0] | {
        "at": "1970-01-01T00:00:00.000Z",
        "type": "emergency_approaching",
        "confidence": "0.9",
        "advisory": "false",
    }


def test_a_line_says_what_happened(journal: Path) -> None:
    first, second = list(read_events(journal, []))[:2]
    assert event_line(first).split() == (
        ["1970-01-01T00:00:00.000Z", "main", "approaching", "confidence", "0.90,", "-30", "dBFS"]
    )
    assert "cleared (quiet)" in event_line(second)
    stopped = {**second, "reason": "shutdown"}
    assert "cleared (end of the recording)" in event_line(stopped)
    assert "cleared (end of the recording)" in event_line({**stopped, "reason": "input_lost"})
    assert "cleared (input_lost)" in event_line({**stopped, "reason": "input_lost", "mode": "live"})
    assert "cleared (shutdown)" in event_line({**stopped, "mode": "live"})


def test_the_command_lists_exports_and_warns(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["events", "--journal", str(journal), "--type", "approaching"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert f"sirend: warning: {journal}, line 3 is no whole event; it is left out" in said.err
    assert cli.main(["events", "--journal", str(journal), "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("at,site,approach,type,reason,confidence")


def test_the_command_takes_the_journal_of_a_configuration(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "sirend.yaml"
    config.write_text(f"site: main-5th\njournal: {{path: {journal.name}}}\n")
    assert cli.main(["events", "--config", str(config)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    config.write_text("site: main-5th\n")
    assert cli.main(["events", "--config", str(config)]) == 64
    assert "give --journal FILE" in capsys.readouterr().err


def test_the_tail_is_the_latest_events_of_both_files(journal: Path) -> None:
    assert [event["seq"] for event in tail(journal, 10**6)] == [1, 2, 3, 4]
    size = journal.stat().st_size
    assert [event["seq"] for event in tail(journal, size)] == [3, 4]
    assert [event["seq"] for event in tail(journal, size - 1)] == [4], "a line that is cut off is none"
    with pytest.raises(InputError, match="there is no journal"):
        tail(journal.with_name("none"), 100)


def test_who_may_not_read_it_is_told_of_sudo(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(InputError, match=r"events.jsonl.1: you may not read it; use sudo"):
        list(read_events(journal, []))
    with pytest.raises(InputError, match=r"events.jsonl: you may not read it; use sudo"):
        tail(journal, 100)


def test_siren_and_bearing_are_in_line_and_csv_where_they_are_known(journal: Path) -> None:
    first, second = list(read_events(journal, []))[:2]
    placed = {**first, "tone": "wail", "bearing_deg": 92.5, "bearing_sd_deg": 3.1}
    assert event_line(placed).endswith(" dBFS, wail, from 92 +- 3 degrees")
    assert event_line({**placed, "motion": "approaching"}).endswith(" dBFS, approaching, wail, from 92 +- 3 degrees")
    assert event_line({**placed, "bearing_deg": "92"}).endswith(" dBFS, wail")
    file = io.StringIO()
    write_csv([placed, second], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [(row["tone"], row["bearing_deg"], row["bearing_sd_deg"]) for row in rows] == [
        ("wail", "92.5", "3.1"),
        ("", "", ""),
    ]


def test_the_time_to_go_is_in_line_and_csv_where_the_call_knew_it(journal: Path) -> None:
    first, second = list(read_events(journal, []))[:2]
    told = {**first, "eta_s": 6.5, "eta_low_s": 4.2, "eta_high_s": 9.0}
    assert event_line(told).endswith(" dBFS, nearest in 7 s (4 to 9)")
    for wrong in ({"eta_s": "6"}, {"eta_high_s": -1.0}, {"eta_low_s": float("nan")}, {"eta_s": 10**400}):
        assert event_line({**told, **wrong}).endswith(" dBFS")
    assert event_line({**second, "eta_s": 6.5, "eta_low_s": 4.2, "eta_high_s": 9.0}).endswith(" dBFS"), "it is over"
    file = io.StringIO()
    write_csv([told, second], file)
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert [row[-3:] for row in rows] == [["eta_s", "eta_low_s", "eta_high_s"], ["6.5", "4.2", "9.0"], ["", "", ""]]
