"""Fonts of this package: Noto Sans and its siblings, under the SIL Open Font License (`LICENSE`)."""

from pathlib import Path

BUNDLED = Path(__file__).parent
