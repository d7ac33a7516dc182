"""An upgrade process: a render process whose jobs nobody waits for, on a socket and in a crew of its own, so that it can never
keep one that somebody waits for from being drawn.
"""

from __future__ import annotations

from imgproxy.processes.render import main

if __name__ == "__main__":
    from imgproxy.render import engine

    main(engine)
