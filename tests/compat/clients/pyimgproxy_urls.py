"""Prints the URLs that pyimgproxy makes, as JSON: a name to a URL. Arguments: key and salt in hexadecimal digits."""

import json
import sys

from pyimgproxy import ImgProxy

key, salt = sys.argv[1:]
image = ImgProxy("http://pictures.example", key=key, salt=salt).image("local:///large.jpg")
wrong = ImgProxy("http://pictures.example", key=salt, salt=key).image("local:///large.jpg")
urls = {
    "fit": image.resize("fit", 400, 400),
    "fill": image.resize("fill", 300, 300, True).format("webp"),
    "extended": image.resize("fit", 160, 160, False, True).background(hex_color="ff0000").format("jpg"),
    "preset": image.add_option("preset", "thumb"),
    "gravity": image.resize("fill", 120, 200).gravity("noea", 5, 0.1).quality(40).format("png"),
    "forged": wrong.width(100),
}
print(json.dumps({name: made.url for name, made in urls.items()}))
