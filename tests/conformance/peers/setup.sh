#!/usr/bin/env bash
# bash setup.sh WORK    Installs the programs that thumbq is compared with under WORK, each in a folder of its own.
set -euo pipefail
mkdir -p "$1/node"
cd "$1"

environment() { python3 -m venv "$1" && "$1/bin/pip" install --quiet "${@:2}"; }

environment pillow pillow==13.0.0 pillow-heif==1.8.1
environment libvips pyvips==3.2.0 pyvips-binary==8.18.7
environment thumbor thumbor==7.8.0 pillow-heif==1.8.1
npm install --silent --prefix node sharp@0.35.5 @imagemagick/magick-wasm@0.0.43
pillow/bin/python -c 'from PIL import ImageCms
open("srgb.icc", "wb").write(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())'
