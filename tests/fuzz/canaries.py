"""Strings planted where metadata lives, and what must be found nowhere in a rendition."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from PIL import ExifTags, Image

from support.pictures import profiles
from support.pictures.leaks import CANARY

_WORD: Final = CANARY.decode()
TRACES: Final = tuple(_WORD.encode(code) for code in ("ascii", "utf-16-le", "utf-16-be"))
"""What gives a canary away, in any of the places and encodings."""


def canary(place: str) -> str:
    return f"{_WORD} {place}"


@lru_cache
def exif(orientation: int = 1) -> bytes:
    """Make EXIF with a canary in every text that a camera or an editor writes, and a place on the map."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
    ):
        tags[tag] = canary(tag.name)
    tags[ExifTags.Base.XPComment] = canary("XPComment").encode("utf-16-le")
    inner = tags.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + canary("UserComment").encode()
    inner[ExifTags.Base.BodySerialNumber] = canary("BodySerialNumber")
    inner[ExifTags.Base.MakerNote] = canary("MakerNote").encode()
    place = tags.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (48.0, 12.0, 30.0)
    place[ExifTags.GPS.GPSAreaInformation] = canary("GPSAreaInformation").encode()
    return tags.tobytes()


def xmp() -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:creator>{canary('XMP')}</dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def iptc() -> bytes:
    """Make IPTC-IIM datasets: by-line, caption, city."""
    text = canary("IPTC").encode()
    return b"".join(b"\x1c\x02" + bytes([dataset, 0, len(text)]) + text for dataset in (80, 120, 90))


def photoshop() -> bytes:
    """Make a Photoshop image resource block that holds the IPTC datasets."""
    data = iptc()
    return b"8BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data + bytes(len(data) % 2)


@lru_cache
def icc() -> bytes:
    """Make an sRGB-like profile whose name is a canary."""
    return profiles.rgb_profile(profiles.SRGB, 2.2, name=canary("ICC").encode())
