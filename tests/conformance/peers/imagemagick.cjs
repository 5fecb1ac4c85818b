// One rendition with ImageMagick, as `convert -auto-orient -profile -resize -strip` makes it. Without arguments: its version.
const { readFileSync, writeFileSync } = require('node:fs');
const magick = require('@imagemagick/magick-wasm');
const words = process.argv.slice(2);
const said = Object.fromEntries(words.map((word) => word.split(/=(.*)/s)));
const gravities = { center: 'Center', north: 'North', east: 'East', south: 'South', west: 'West' };
Object.assign(gravities, { northeast: 'Northeast', northwest: 'Northwest', southeast: 'Southeast', southwest: 'Southwest' });

function make(image, to) {
  image.autoOrient();
  image.resetPage();
  if (image.getColorProfile()) image.transformColorSpace(new magick.ColorProfile(readFileSync(said.profile)));
  if (String(image.colorSpace) === String(magick.ColorSpace.CMYK)) image.colorSpace = magick.ColorSpace.sRGB;
  const sign = { contain: said.enlarge ? '' : '>', cover: '^', fill: '!' }[said.fit];
  if (said.fit !== 'none') image.resize(new magick.MagickGeometry(`${said.width}x${said.height}${sign}`));
  if (said.fit === 'cover') image.crop(Number(said.width), Number(said.height), magick.Gravity[gravities[said.gravity]]);
  image.resetPage();
  if (to === 'jpg') {
    image.backgroundColor = new magick.MagickColor(said.background);
    image.alpha(magick.AlphaAction.Remove);
  }
  if (to !== 'png') image.quality = Number(said.quality);
  if (said.progressive) image.settings.interlace = magick.Interlace.Plane;
  if (said.lossless) image.settings.setDefine(magick.MagickFormat.WebP, 'lossless', 'true');
  image.strip();
}

async function main() {
  await magick.initializeImageMagick(readFileSync(require.resolve('@imagemagick/magick-wasm/magick.wasm')));
  if (!words.length) return console.log(magick.Magick.imageMagickVersion.split(' ').slice(1, 3).join(' '));
  const [from, to] = [said.input, said.output].map((name) => name.split('.').pop());
  if (said.animated && (to !== 'webp' || ['png', 'avif'].includes(from))) {
    console.error('it reads no animated PNG and AVIF, and writes animated WebP only');
    process.exit(77);
  }
  const original = readFileSync(said.input);
  const format = magick.MagickFormat[{ jpg: 'Jpeg', png: 'Png', webp: 'WebP', avif: 'Avif' }[to]];
  const write = (made) => made.write(format, (data) => writeFileSync(said.output, data));
  if (!said.animated) {
    return magick.ImageMagick.read(original, (image) => {
      make(image, to);
      write(image);
    });
  }
  return magick.ImageMagick.readCollection(original, (images) => {
    images.coalesce();
    images.forEach((image) => make(image, to));
    write(images);
  });
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
