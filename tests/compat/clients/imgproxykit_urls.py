"""Prints the URLs that imgproxykit makes, as JSON: a name to a URL. Arguments: key and salt in hexadecimal digits."""

import json
import sys

from imgproxykit import Client, Transform
from imgproxykit.options import Background, Extend, Gravity, Preset, Resize, Watermark

key, salt = sys.argv[1:]
client = Client("http://pictures.example", key=key, salt=salt)
wrong = Client("http://pictures.example", key=salt, salt=key)
picture = "local:///large.jpg"
transforms = {
    "fit": Transform(Resize(width=400, height=400, mode="fit")),
    "fill": Transform(Resize(width=300, height=300, mode="fill", enlarge=True), format="webp"),
    "extended": Transform(Resize(width=160, height=160), Extend(value=True), Background(color="ff0000"), format="jpg"),
    "preset": Transform(Preset("thumb")),
    "gravity": Transform(
        Resize(width=120, height=200, mode="fill"), Gravity(position="noea", offset_x=5, offset_y=0.1), quality=40, format="png"
    ),
    "watermark": Transform(Watermark(opacity=0.5, position="soea", scale=0.2), width=160, format="jpg"),
}
urls = {name: client.url(picture, transform=transform) for name, transform in transforms.items()}
print(json.dumps(urls | {"forged": wrong.url(picture, transform=Transform(width=100))}))
