"""Prints the URLs that PyPI's imgproxy makes, as JSON: a name to a URL. Arguments: key and salt in hexadecimal
digits."""

import json
import sys

from imgproxy import ImgProxy

key, salt = sys.argv[1:]
make = ImgProxy.factory(proxy_host="http://pictures.example", key=key, salt=salt)
picture = "local:///large.jpg"
urls = {
    "fit": make(picture, resizing_type="fit", width=400, height=400),
    "fill": make(picture, resizing_type="fill", width=300, height=300, extension="webp"),
    "auto": make(picture, width=300, height=100, extension="png"),
    "extended": make(picture, "ex:1", "bg:ff0000", resizing_type="fit", width=160, height=160, extension="jpg"),
    "preset": make(picture, "pr:thumb", resizing_type="fill", width=60, height=60, extension="png"),
    "forged": ImgProxy(picture, proxy_host="http://pictures.example", key=salt, salt=key, width=100),
}
print(json.dumps({name: str(made) for name, made in urls.items()}))
