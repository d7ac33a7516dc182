"""Prints the URLs that PyPI's imgix makes, as JSON: a name to a URL. Arguments are not used: the server takes unsigned ones."""

import json

from imgix import UrlBuilder

builder = UrlBuilder("pictures.example", include_library_param=True)
path = "/images/local/large.jpg"
urls = {
    "fit": builder.create_url(path, {"w": 400}),
    "fill": builder.create_url(path, {"w": 300, "h": 300, "fit": "crop", "crop": "top,left", "fm": "webp"}),
    "extended": builder.create_url(path, {"w": 160, "h": 160, "fit": "fill", "bg": "f00", "fm": "jpg"}),
    "srcset": builder.create_srcset(path, {"fm": "png"}, widths=[100, 200]).split(",\n")[1].split(" ")[0],
}
print(json.dumps(urls))
