"""``python -m sirend``."""

import sys

from sirend.cli import main

sys.exit(main())
