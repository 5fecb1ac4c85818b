// One rendition with sharp, as its documentation shows it. Without arguments: its version.
const sharp = require('sharp');
const words = process.argv.slice(2);
if (!words.length) {
  console.log(`${sharp.versions.sharp}, libvips ${sharp.versions.vips}`);
  process.exit();
}
const said = Object.fromEntries(words.map((word) => word.split(/=(.*)/s)));
const [from, to] = [said.input, said.output].map((name) => name.split('.').pop());
if (said.animated && (to !== 'webp' || ['png', 'avif'].includes(from))) {
  console.error('it reads no animated PNG and AVIF, and writes animated WebP only');
  process.exit(77);
}
let image = sharp(said.input, { animated: Boolean(said.animated) }).autoOrient();
if (said.fit !== 'none') {
  image = image.resize({
    width: Number(said.width) || null,
    height: Number(said.height) || null,
    fit: { contain: 'inside', cover: 'cover', fill: 'fill' }[said.fit],
    position: said.gravity,
    withoutEnlargement: said.fit !== 'fill' && !said.enlarge,
  });
}
const options = { quality: Number(said.quality) };
if (to === 'jpg') image = image.flatten({ background: said.background }).jpeg({ ...options, progressive: Boolean(said.progressive) });
if (to === 'png') image = image.png();
if (to === 'webp') image = image.webp({ ...options, lossless: Boolean(said.lossless) });
if (to === 'avif') image = image.avif(options);
image.toFile(said.output).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
