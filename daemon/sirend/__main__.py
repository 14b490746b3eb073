"""``python -m sirend``."""

import sys

from sirend.cli.main import main

sys.exit(main())
