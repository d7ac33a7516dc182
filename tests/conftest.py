"""No property test depends on how fast the machine is, and servers start fast on all of them."""

from __future__ import annotations

import os
import resource

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Hundreds of processes are started: to compile all they import takes most of a second, each time, where none may keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Hundreds of applications are made in one process, each with some descriptors: as many as it may have, as web processes do.
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))
