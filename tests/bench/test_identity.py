from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.bench import identity

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_no_checkout_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python would take the sirend that is installed in its place, and find it the same as itself."""
    monkeypatch.setattr("sys.argv", ["identity.py", str(tmp_path / "old"), str(tmp_path)])
    with pytest.raises(SystemExit):
        identity.main()
    assert f"{tmp_path / 'old'} is no checkout of sirend" in capsys.readouterr().err
