"""What AVIF and HEIF share: the ISO base media file format (ISO/IEC 14496-12) and the images in it."""
