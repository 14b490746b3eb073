"""Answers of an agent that are none to what was asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sirend.config.listen_settings import NtcipConfig
from sirend.controller.outputs.snmp import Agent, SnmpError

if TYPE_CHECKING:
    from pathlib import Path

ASKED = ["1.3.6.1.2.1", "1.3.6.1.2.2"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([("1.3.6.1.2.2", 6), ("1.3.6.1.2.1", 2)], "answers for 1.3.6.1.2.2, 1.3.6.1.2.1, asked for"),
        ([("1.3.6.1.9.9", 6), ("1.3.6.1.2.2", 2)], "answers for 1.3.6.1.9.9, 1.3.6.1.2.2, asked for"),
        ([("1.3.6.1.2.1", 6)], "answers for 1.3.6.1.2.1, asked for"),
        ([], "answers for nothing, asked for"),
        ([("1.3.6.1.2.1", 6), ("1.3.6.1.2.2", None)], "has no such object"),
    ],
)
def test_the_state_of_another_row_confirms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[tuple[str, int]], words: str
) -> None:
    (tmp_path / "community").write_text("public")
    agent = Agent(NtcipConfig(community_file=tmp_path / "community"))

    async def ask(*_: object) -> list[tuple[str, int]]:
        return found

    monkeypatch.setattr(agent, "_ask", ask)
    with pytest.raises(SnmpError, match=words):
        asyncio.run(agent.get(ASKED))
