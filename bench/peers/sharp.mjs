// One process that draws what the lines of its standard input say and answers each with the length of what came out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const sharp = createRequire(process.argv[2] + "/")("sharp");
sharp.cache(false);
sharp.concurrency(1);

const savers = {
  jpeg: (image, quality) => image.jpeg({ quality, optimizeCoding: true }),
  webp: (image, quality) => image.webp({ quality, effort: 2 }),
  avif: (image, quality) => image.avif({ quality, effort: 1, chromaSubsampling: "4:2:0" }),
  png: (image) => image.png({ compressionLevel: 4 }),
};

process.stdout.write(`${sharp.versions.sharp} ${sharp.versions.vips}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { path, width, height, format, quality, animated, keep } = JSON.parse(line);
  const image = sharp(path, { animated }).autoOrient().resize(width, height ?? undefined, { fit: "cover" });
  const saved = savers[format](image, quality);
  if (keep) {
    const { size } = await saved.toFile(keep);
    process.stdout.write(`${size}\n`);
  } else {
    process.stdout.write(`${(await saved.toBuffer()).length}\n`);
  }
}
