# ruff: noqa: T201 -- what it prints is what it is for
"""One rendition with Pillow, as a careful team writes it by hand. Without arguments: the versions."""

import sys
from io import BytesIO
from typing import Any

import PIL
import pillow_heif
from PIL import Image, ImageCms, ImageOps, ImageSequence

if not sys.argv[1:]:
    print(f"{PIL.__version__}, pillow-heif {pillow_heif.__version__}")
    sys.exit()
said = dict(word.split("=", 1) for word in sys.argv[1:])
box = (int(said["width"] or 100_000), int(said["height"] or 100_000))
gravity = said["gravity"]
centre = (
    0 if "west" in gravity else 1 if "east" in gravity else 0.5,
    0 if "north" in gravity else 1 if "south" in gravity else 0.5,
)


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert by the profile; one that does not fit is ignored."""
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in {"L", "RGB", "CMYK"}:
        image = image.convert("RGB")
    if profile:
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode) or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def make(image: Image.Image) -> Image.Image:
    image = in_srgb(ImageOps.exif_transpose(image))
    if said["fit"] == "contain" and said["enlarge"]:
        image = ImageOps.contain(image, box, Image.Resampling.LANCZOS)
    elif said["fit"] == "contain":
        image.thumbnail(box, Image.Resampling.LANCZOS)
    elif said["fit"] == "cover":
        image = ImageOps.fit(image, box, Image.Resampling.LANCZOS, centering=centre)
    elif said["fit"] == "fill":
        image = image.resize(box, Image.Resampling.LANCZOS)
    if said["output"].endswith(".jpg") and image.mode == "RGBA":
        flat = Image.new("RGB", image.size, said["background"])
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    image.info.clear()  # metadata
    return image


pillow_heif.register_heif_opener()
original = Image.open(said["input"])
options: dict[str, Any] = {
    "quality": int(said["quality"]),
    "progressive": bool(said["progressive"]),
    "lossless": bool(said["lossless"]),
}
if said["animated"] and original.format in {"GIF", "WEBP", "PNG", "AVIF"}:
    frames, durations = [], []
    for frame in ImageSequence.Iterator(original):
        frames.append(make(frame.copy()))
        durations.append(frame.info.get("duration", 0))
    options |= {
        "save_all": True,
        "append_images": frames[1:],
        "duration": durations,
        "loop": original.info.get("loop", 0),
    }
    frames[0].save(said["output"], **options)
else:
    make(original).save(said["output"], **options)
