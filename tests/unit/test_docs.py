"""README.md cannot lie about what is made from the code, nor forget a command."""

from __future__ import annotations

import re

from tests.docs import README, rendered


def test_the_tables_are_those_of_the_code() -> None:
    text = README.read_text()
    assert rendered(text) == text, "run `poe docs`"


def test_the_two_commands_are_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    for block in blocks[:2]:
        assert block.count("\n") == 1
        assert "requirements.lock" in block
