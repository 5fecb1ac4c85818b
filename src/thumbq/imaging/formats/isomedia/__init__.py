"""Shared by AVIF and HEIF: the ISO base media file format (ISO/IEC 14496-12) and the images in it."""
