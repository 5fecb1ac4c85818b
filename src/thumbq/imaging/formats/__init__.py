"""A module or folder for each image format, by its name in lower case; ``registry`` finds them.

Each declares ``INPUT`` (see ``inputformat``) and, if thumbq writes it, ``OUTPUT`` (see ``outputformat``). ``isomedia``
is what AVIF and HEIF share.
"""
