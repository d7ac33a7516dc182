"""OVERLAYS: the rows of `options.py` that lay pictures and words over a picture."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.layers import MOST_WORDS, Layer, Mark, Text
from imgproxy.urls.needs import A_DRAWING, A_MARK, A_TEXT
from imgproxy.urls.numbers import Counterclockwise, Hundredths, Length, Number
from imgproxy.urls.option import Option
from imgproxy.urls.values import Choice, HexColor, mended

_ACROSS = {"left": 0.0, "center": 0.5, "right": 1.0}
_DOWN = {"top": 0.0, "middle": 0.5, "bottom": 1.0}

USUAL_PAD = 10


@dataclass(frozen=True, slots=True)
class Marked:
    """A picture by its source and its path there, in imgix' usual corner."""

    expected = "NAME/PATH, as in the path of a URL"

    def read(self, text: str) -> Mark:
        source, slash, locator = text.partition("/")
        if not (source and slash and locator):
            raise ValueError
        return Mark(source=source, locator=mended(locator), x=1, y=1, pad=USUAL_PAD)

    def write(self, value: Mark | None) -> str:
        if value is None:
            raise ValueError
        return f"{value.source}/{value.locator}"


@dataclass(frozen=True, slots=True)
class Phrase:
    """Text in imgix' usual corner."""

    expected = f"1 to {MOST_WORDS} printable characters and line breaks"

    def read(self, text: str) -> Text:
        if not 1 <= len(text) <= MOST_WORDS or not all(each.isprintable() or each == "\n" for each in text):
            raise ValueError
        return Text(words=text, x=1, y=1, pad=USUAL_PAD)

    def write(self, value: Text | None) -> str:
        if value is None or value.markup:
            raise ValueError
        return value.words


@dataclass(frozen=True, slots=True)
class FontName:
    """What `fonts.Fonts` knows a face by; whether it is there is for the server to say."""

    expected = "a name of 1 to 100 printable characters"

    def read(self, text: str) -> str:
        if not 1 <= len(text) <= 100 or not text.isprintable():
            raise ValueError
        return text

    def write(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Align:
    """Edges, one of each direction; what is not named is in the middle."""

    expected = "one of top, middle, bottom and one of left, center, right, between commas, or one of them"

    def read(self, text: str) -> tuple[float, float]:
        across = down = None
        for word in text.split(",", 2):
            if word in _ACROSS and across is None:
                across = _ACROSS[word]
            elif word in _DOWN and down is None:
                down = _DOWN[word]
            else:
                raise ValueError
        return 0.5 if across is None else across, 0.5 if down is None else down

    def write(self, value: tuple[float, float]) -> str:
        words = [word for names, at in ((_DOWN, value[1]), (_ACROSS, value[0])) for word, place in names.items() if place == at]
        if len(words) != 2:
            raise ValueError
        return ",".join(words)


_SIDE = Length(Number.of(Layer, "width").le or 0)
_OFFSET = Number.of(Layer, "offset_x")
_PAD = Number.of(Layer, "pad")

OVERLAYS: tuple[Option, ...] = (
    Option("mark", ("mark",), Marked(), "brand/logo.png", "A picture from any source, laid over this one.", A_DRAWING),
    Option(
        "mark-tile",
        ("mark.tile",),
        Choice({"grid": "grid", "chess": "chess"}),
        "grid",
        "Repeats it all over the picture.",
        A_MARK,
    ),
    Option("mark-align", ("mark.x", "mark.y"), Align(), "top,left", "Where it lies; bottom,right by default.", A_MARK),
    Option("mark-pad", ("mark.pad",), _PAD, "20", f"Pixels left free at the edges; {USUAL_PAD} by default.", A_MARK),
    Option(
        "mark-x",
        ("mark.offset_x",),
        _OFFSET,
        "15",
        "How much further from that edge, or from the centre to the right: pixels, or below 1 a fraction of the width. With "
        "mark-tile, the space between the tiles.",
        A_MARK,
    ),
    Option("mark-y", ("mark.offset_y",), _OFFSET, "0.1", "The same vertically, of the height.", A_MARK),
    Option("mark-w", ("mark.width",), _SIDE, "120", "Its width: pixels, or a fraction of this picture's.", A_MARK),
    Option("mark-h", ("mark.height",), _SIDE, "0.2", "Its height, likewise; the mark fits inside both.", A_MARK),
    Option(
        "mark-scale",
        ("mark.scale",),
        Hundredths(1000),
        "25",
        "Its size, in percent of this picture's sides.",
        A_MARK,
    ),
    Option("mark-rot", ("mark.rotate",), Counterclockwise(), "45", "Degrees counter-clockwise.", A_MARK),
    Option("mark-alpha", ("mark.opacity",), Hundredths(100), "50", "Its opacity, in percent.", A_MARK),
    Option("txt", ("text",), Phrase(), "Hello", "Text laid over the picture.", A_DRAWING, text=True),
    Option("txt-font", ("text.font",), FontName(), "DejaVu Sans Bold", "The full name of a font face.", A_TEXT, text=True),
    Option("txt-size", ("text.size",), Number.of(Text, "size"), "32", "Size in pixels; 12 by default.", A_TEXT),
    Option("txt-color", ("text.color",), HexColor(), "fff", "Colour; black by default.", A_TEXT),
    Option(
        "txt-align",
        ("text.x", "text.y"),
        Align(),
        "middle,center",
        "Where the text lies, and at which edge its lines are aligned; bottom,right by default.",
        A_TEXT,
    ),
    Option("txt-pad", ("text.pad",), _PAD, "20", f"Pixels left free at the edges; {USUAL_PAD} by default.", A_TEXT),
    Option("txt-x", ("text.offset_x",), _OFFSET, "15", "As mark-x.", A_TEXT),
    Option("txt-y", ("text.offset_y",), _OFFSET, "-4", "As mark-y.", A_TEXT),
    Option("txt-width", ("text.width",), _SIDE, "300", "Width at which lines are broken; by default the picture's.", A_TEXT),
    Option("txt-height", ("text.height",), _SIDE, "0.5", "With txt-fit: how high the text may be.", A_TEXT),
    Option("txt-fit", ("text.fit",), Choice({"max": True}), "max", "As large as fits into txt-width and txt-height.", A_TEXT),
    Option("txt-lead", ("text.lead",), Number.of(Text, "lead"), "6", "Pixels added between lines.", A_TEXT),
    Option("txt-shad", ("text.shadow",), Number.of(Layer, "shadow"), "4", "Sigma of a shadow behind the text.", A_TEXT),
    Option("txt-rot", ("text.rotate",), Counterclockwise(), "15", "Degrees counter-clockwise.", A_TEXT),
    Option("txt-alpha", ("text.opacity",), Hundredths(100), "50", "Opacity, in percent.", A_TEXT),
)
