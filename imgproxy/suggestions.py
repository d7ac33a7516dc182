"""What was probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

_LONGEST = 64
"""Characters that are compared: it takes longer than the square of them, and anyone may send the name."""


def did_you_mean(name: str, known: Iterable[str], *, likeness: float = 0.6, spell: Callable[[str], str] = str) -> str:
    """The end of an error message: `; did you mean …?` with the known name most like `name` as `spell` writes it, or nothing
    where none is at least as like it as `likeness`, 0 (anything) – 1 (the same)."""
    near = get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=likeness)
    return f"; did you mean {spell(near[0])}?" if near else ""
