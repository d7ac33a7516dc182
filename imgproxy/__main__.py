"""`python -m imgproxy` is `imgproxy`."""

import sys

from imgproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
