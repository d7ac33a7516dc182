from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.errors import InvalidOption
from imgproxy.fonts import Fonts
from imgproxy.typefaces import BUNDLED
from tests.fonts import write_font


@pytest.fixture
def fonts(tmp_path: Path) -> Fonts:
    (tmp_path / "deeper").mkdir()
    write_font(tmp_path / "deeper" / "a.ttf", "Boxes Test")
    write_font(tmp_path / "b.TTF", "Another Regular")
    (tmp_path / "broken.ttf").write_bytes(b"\0\1\0\0 no font")
    (tmp_path / "empty.otf").write_bytes(b"")
    (tmp_path / "note.txt").write_text("not a font")
    return Fonts([str(tmp_path), str(tmp_path / "nowhere")], "boxes test")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("", "Boxes Test"),
        ("Boxes Test", "Boxes Test"),
        ("BOXES TEST", "Boxes Test"),
        ("another", "Another"),
        ("Another Book", "Another"),
    ],
)
async def test_faces_are_found_by_their_full_names(fonts: Fonts, asked: str, name: str) -> None:
    font = await fonts.find(asked)
    assert font.name == name
    assert font.file.endswith("a.ttf" if name == "Boxes Test" else "b.TTF")


async def test_a_face_that_is_not_there_is_an_error_with_a_hint(fonts: Fonts) -> None:
    with pytest.raises(InvalidOption, match="no font 'Boxes Tost'; did you mean Boxes Test") as caught:
        await fonts.find("Boxes Tost")
    assert caught.value.option == "txt-font"
    with pytest.raises(InvalidOption, match="no font 'Boxes Tost'") as caught:
        await fonts.chain("Boxes Tost")
    assert caught.value.option == "font", "as templates call it"
    with pytest.raises(InvalidOption, match=r"no font '\\x1b\[2J'$"):
        await fonts.find("\x1b[2J")


async def test_the_usual_one_may_be_missing(tmp_path: Path) -> None:
    file = write_font(tmp_path / "a.ttf", "Zebra")
    assert (await Fonts([str(file)], "zebra").find("")).name == "Zebra"
    assert (await Fonts([str(file)], "DejaVu Sans").find("")).name == "Noto Sans"
    assert (await Fonts([], "").find("")).name == "Noto Sans"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ["Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Emoji"]),
        (
            "noto sans black",
            ["Noto Sans Black", "Noto Sans Bold", "Noto Sans Arabic Bold", "Noto Sans Hebrew Bold", "Noto Emoji"],
        ),
        ("Zebra", ["Zebra", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Emoji"]),
    ],
)
async def test_letters_that_a_face_has_not_are_found_in_the_packages_own(
    tmp_path: Path, name: str, expected: list[str]
) -> None:
    file = write_font(tmp_path / "a.ttf", "Zebra")
    assert [font.name for font in await Fonts([str(file)], "Zebra").chain(name)] == expected


async def test_what_the_machine_has_by_that_name_stands_in_for_nothing(tmp_path: Path) -> None:
    """Named, it is what is configured; otherwise a template looks alike on every machine."""
    files = [str(write_font(tmp_path / f"{name}.ttf", name)) for name in ("Noto Sans", "Noto Emoji", "Zebra")]
    fonts = Fonts(files, "Zebra")
    assert (await fonts.chain("Noto Sans"))[0].file == files[0]
    for name in ("", "Zebra"):
        assert {Path(font.file).parent for font in (await fonts.chain(name)) if font.name != "Zebra"} == {BUNDLED}
