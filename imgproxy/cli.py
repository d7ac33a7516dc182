"""The command line: what can be asked on it. The work is in `commands.py`, which is loaded after the arguments are understood.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 not understood.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from imgproxy.errors import ImgproxyError

FAILED, USAGE = 1, 2

_OVERVIEW = """\
An image proxy: resizes, crops and re-encodes pictures on the fly.

  imgproxy serve --demo                             try it with sample pictures
  imgproxy serve --demo ~/Pictures                  … or with your own
  imgproxy key                                      a new signing secret
  imgproxy serve --config imgproxy.toml             serve
  imgproxy sign "/images/shop/shoe.jpg?w=400"       a URL that will be answered
  imgproxy COMMAND --help                           more about each
"""

_SERVE = """\
examples:
  imgproxy serve --config /etc/imgproxy.toml
  imgproxy serve --config imgproxy.toml --host 0.0.0.0 --port 80
  imgproxy serve --demo                  sample pictures, unsigned URLs, this machine only
  imgproxy serve --demo ~/Pictures       the same with a folder of yours

Stop with SIGTERM or Ctrl-C: running requests are finished first.
"""

_SIGN = """\
examples:
  imgproxy sign "/images/shop/shoe.jpg?w=400&h=300&fit=crop"
  imgproxy sign "/images/shop/shoe.jpg?w=400" --expires 1h
  imgproxy sign "https://img.example.com/images/shop/shoe.jpg?w=400" --key-id 2026

Sign what the client will send: percent-encode first, sign afterwards.
"""

_GRANT = """\
examples:
  imgproxy grant --source shop --prefix products/ --widths 320,640,1280 --expires 24h
  imgproxy grant --source shop --max-pixels 2000000 --formats auto,jpg

The token goes into URLs as grant=TOKEN, in place of a signature.
"""

_APIKEY = """\
examples:
  imgproxy apikey create --config imgproxy.toml --scopes read,write,delete --tenant shop --quota 10GiB
  imgproxy apikey list --config imgproxy.toml
  imgproxy apikey revoke 3f9a0c21d4b7 --config imgproxy.toml
"""

_RENDER = """\
examples:
  imgproxy render photo.jpg small.webp -o "w=400"
  imgproxy render photo.jpg square.avif -o "w=300&h=300&fit=crop&crop=attention"
  imgproxy render photo.jpg - -o "w=400&fm=png" > small.png

The options are those of a URL. Without fm the format follows the name of DST.
"""

_EXPLAIN = """\
examples:
  imgproxy explain "/images/shop/shoe.jpg?w=400"
  imgproxy explain "/images/shop/shoe.jpg?w=400" --accept "image/avif,image/webp,*/*"
"""

_PURGE = """\
examples:
  imgproxy purge --url "/images/shop/products/shoe.jpg?w=400"    one picture, in all its formats
  imgproxy purge --source shop --path products/shoe.jpg          everything made from one original
  imgproxy purge --source shop --prefix products/                everything below a prefix
  imgproxy purge --source shop                                   the whole source

Effective in every process that uses the cache directory, at once. Run it as the user that the server runs as.
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"imgproxy: {message}; see `{self.prog} --help`\n")


class Version(argparse.Action):
    """Looks the version up when it is asked for: argparse's own action wants it for every command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"imgproxy {version('imgproxy-server')}")
        parser.exit()


_CONFIG = "TOML file with settings; default: $IMGPROXY_CONFIG"


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="imgproxy", description=_OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action=Version, nargs=0, help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, summary: str, examples: str = "", *, configured: bool = True) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name,
            help=summary,
            description=summary[:1].upper() + summary[1:] + ".",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if configured:
            made.add_argument("--config", metavar="FILE", type=Path, help=_CONFIG)
        return made

    _add_serve(command("serve", "run the server", _SERVE))
    sign = command("sign", "print a signed target or URL", _SIGN)
    sign.add_argument("target", metavar="TARGET", help="path and query, or a whole URL")
    sign.add_argument(
        "--expires", metavar="DURATION", help='how long it is good, such as "90s", "1h" or "7d"; default: for ever'
    )
    sign.add_argument("--key-id", metavar="ID", help="sign with this key and name it in the URL; default: the newest")
    _add_grant(command("grant", "print a token for every request within a policy", _GRANT))
    command("key", "print a new secret for signing", configured=False)
    _add_apikey(command("apikey", "keys of the API for hosted pictures: create, list, revoke", _APIKEY))
    render = command("render", "draw one picture from a file, with the server's own engine", _RENDER)
    render.add_argument("source", metavar="SRC", help='the original; "-": standard input')
    render.add_argument("target", metavar="DST", help='the file to write; "-": standard output')
    render.add_argument("-o", "--options", metavar="OPTIONS", default="", help='as in a URL: "w=400&fm=avif"')
    explain = command("explain", "show what the server would do with a target, and why", _EXPLAIN)
    explain.add_argument("target", metavar="TARGET", help="path and query, or a whole URL")
    explain.add_argument("--accept", metavar="HEADER", help="the client's Accept header; default: it sends none")
    _add_purge(command("purge", "forget pictures that are in the cache", _PURGE))
    command("check", "show the settings in effect and where each came from; exit 1 when they are wrong")
    return top


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--demo",
        metavar="FOLDER",
        nargs="?",
        const="",
        help="serve a folder (without: sample pictures) to this machine, unsigned, and print URLs to click",
    )
    serve.add_argument("--host", metavar="ADDRESS", help="server.host")
    serve.add_argument("--port", metavar="PORT", type=int, help="server.port")
    serve.add_argument("--admin-port", metavar="PORT", type=int, help="server.admin_port")


def _add_grant(grant: argparse.ArgumentParser) -> None:
    grant.add_argument("--source", metavar="NAME", required=True, help="pictures of this source …")
    grant.add_argument("--prefix", metavar="PATH", default="", help="… below this path; default: all")
    grant.add_argument("--widths", metavar="W,W,…", default="", help="the widths that may be asked for, in device pixels")
    grant.add_argument("--max-pixels", metavar="N", type=int, default=0, help="the largest area, in device pixels")
    grant.add_argument(
        "--formats",
        metavar="F,F,…",
        default="",
        help="auto, jpg, png, webp, avif, gif, tiff, jxl, bmp, ico, json; default: any picture",
    )
    grant.add_argument("--expires", metavar="DURATION", default="1d", help='how long it is good; "never"; default: %(default)s')
    grant.add_argument("--key-id", metavar="ID", help="sign with this key; default: the newest")


def _add_apikey(apikey: argparse.ArgumentParser) -> None:
    actions = apikey.add_subparsers(dest="action", metavar="create | list | revoke", required=True, parser_class=Parser)
    create = actions.add_parser("create", help="print a new key, which is shown only this once")
    create.add_argument(
        "--scopes", metavar="S,S,…", default="read,write,delete", help="of read, write, delete, admin; default: %(default)s"
    )
    create.add_argument("--tenant", metavar="NAME", default="default", help="whose pictures it is for; default: %(default)s")
    create.add_argument("--quota", metavar="SIZE", help='for all that the tenant has, as in "10GiB"; default: library.quota')
    every = actions.add_parser("list", help="print all keys, without their secrets")
    revoke = actions.add_parser("revoke", help="stop accepting a key")
    revoke.add_argument("id", metavar="ID", help="as `list` prints it")
    for action in (create, every, revoke):
        # Here as well, where it is of every other command. No default: it would undo what stands before the action.
        action.add_argument("--config", metavar="FILE", type=Path, default=argparse.SUPPRESS, help=_CONFIG)


def _add_purge(purge: argparse.ArgumentParser) -> None:
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", metavar="TARGET", help="one picture: path and query, or a whole URL")
    what.add_argument("--source", metavar="NAME", help="a whole source, or with one of these a part of it:")
    part = purge.add_mutually_exclusive_group()
    part.add_argument("--path", metavar="PATH", help="one original and everything made from it")
    part.add_argument("--prefix", metavar="PREFIX", help="everything whose path begins with this")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Prints no traceback, whatever the operator does."""
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The picture is written when it is said how large it is: no locale, and no name of a file, makes a failure of that.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = parser().parse_args(argv)
        # Here, so that --help and mistakes are answered without loading what the commands need.
        from imgproxy import commands

        code: int = commands.COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except ImgproxyError as error:
        return _fail(str(error))
    except UnicodeEncodeError:
        return _fail("an argument is not UTF-8")
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter must not try to flush it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
    except KeyboardInterrupt:
        return 130
    return code


def _open_standard_streams() -> None:
    """Those that whoever started this has closed lead nowhere: a socket would get their numbers, which are a child's own."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _fail(message: str) -> int:
    line = " ".join(message.split())
    print(f"imgproxy: {line}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
