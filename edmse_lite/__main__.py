"""``python -m edmse_lite`` is the command ``edmse``.

Chapter: 1 (A noisy recording, enhanced).
"""

import sys

from edmse_lite.cli import main

if __name__ == "__main__":
    sys.exit(main())
