# ruff: noqa: T201 -- what it prints is what it is for
"""One rendition with libvips, as its documentation shows it for Python. Without arguments: the version."""

import sys

import pyvips

if not sys.argv[1:]:
    print(".".join(str(pyvips.version(part)) for part in range(3)))
    sys.exit()
said = dict(word.split("=", 1) for word in sys.argv[1:])
source, target = said["input"], said["output"]
if said["animated"] and (source.endswith((".png", ".avif")) or not target.endswith(".webp")):
    print("it reads no animated PNG and AVIF, and writes animated WebP only", file=sys.stderr)
    sys.exit(77)
if said["animated"] and source.endswith((".gif", ".webp")):
    source += "[n=-1]"
options = {"height": int(said["height"] or 10_000_000), "output_profile": "srgb", "fail_on": "error"}
options["size"] = "both" if said["enlarge"] else "down"
if said["fit"] == "cover":
    options["crop"] = "centre"
elif said["fit"] == "fill":
    options["size"] = "force"
image = pyvips.Image.thumbnail(source, int(said["width"] or 10_000_000), **options)
if target.endswith(".jpg") and image.hasalpha():
    image = image.flatten(background=[int(said["background"][at : at + 2], 16) for at in (1, 3, 5)])
quality = int(said["quality"])
if target.endswith(".jpg"):
    image.jpegsave(target, Q=quality, interlace=bool(said["progressive"]), keep="none")
elif target.endswith(".png"):
    image.pngsave(target, keep="none")
elif target.endswith(".webp"):
    image.webpsave(target, Q=quality, lossless=bool(said["lossless"]), keep="none")
else:
    image.heifsave(target, Q=quality, compression="av1", keep="none")
