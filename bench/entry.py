"""`python -m bench.entry CONFIG [RENDER_MODULE]`: what `imgproxy serve` starts, with a render module of choice."""

from __future__ import annotations

import sys
from pathlib import Path

from imgproxy.configuration import load
from imgproxy.processes import supervisor
from imgproxy.settings import environment

if __name__ == "__main__":
    modules = {"render_module": sys.argv[2]} if len(sys.argv) > 2 else {}
    sys.exit(supervisor.run(load(Path(sys.argv[1]), environment(), {}).settings, **modules))
