"""Each parser against a few inputs of the campaign, ``make fuzz``, which has no end of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fuzz.attack import Parser, attack
from tests.fuzz.parsers import PARSERS

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = {"network": 5, "recording": 60}
MOST = 100


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_parser_gives_a_value_or_the_foreseen_error(parser: Parser, tmp_path: Path) -> None:
    examples = EXAMPLES.get(parser.name, MOST)
    assert attack(parser, tmp_path, examples) >= examples // 2
