"""``python -m sirend``."""

from sirend.cli.main import command

command()
