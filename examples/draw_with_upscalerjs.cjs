// Enlarge pictures with a network of UpscalerJS, for draw_trust_table.py.
//
//     node draw_with_upscalerjs.cjs node_modules/@upscalerjs/esrgan-slim/models/x4/model.json
//
// Height and width as 32 bits each, little end first, and RGB bytes come in on stdin, picture after picture; the RGB
// bytes of each go out on stdout.
const { readFileSync, readSync, writeSync } = require("fs");
const { createRequire } = require("module");
const { dirname, join, resolve } = require("path");

const file = resolve(process.argv[2]);
const [, name, scale] = file.match(/(@upscalerjs\/[^/]+)\/models\/x(\d+)\//);
const installed = createRequire(file);

function network(tf) {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(file));
  const files = weightsManifest.flatMap((group) => group.paths);
  const weights = new Uint8Array(Buffer.concat(files.map((path) => readFileSync(join(dirname(file), path)))));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  return tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData: weights.buffer }));
}

function bytes(count) {
  const found = Buffer.alloc(count);
  for (let have = 0; have < count; ) {
    const more = readSync(0, found, have, count - have);
    if (more === 0) process.exit(0);
    have += more;
  }
  return found;
}

function told(answer) {
  for (let said = 0; said < answer.length; ) said += writeSync(1, answer, said);
}

async function main() {
  const tf = installed("@tensorflow/tfjs");
  installed("@tensorflow/tfjs-backend-wasm");
  // One thread, so that sums are added up in one order.
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  await tf.setBackend("wasm");
  const about = installed(`${name}/${scale}x`);
  const known = about.default ?? about;
  if (known.setup) known.setup(tf);
  const model = await network(tf);
  for (;;) {
    const size = bytes(8);
    const [height, width] = [size.readUInt32LE(0), size.readUInt32LE(4)];
    const values = new Float32Array(bytes(height * width * 3));
    const given = tf.tidy(() => {
      const low = tf.tensor4d(values, [1, height, width, 3]).mul(known.inputRange[1] / 255);
      return model.predict(low).mul(255 / known.outputRange[1]).round().clipByValue(0, 255);
    });
    told(Buffer.from(Uint8Array.from(await given.data())));
    given.dispose();
  }
}

main();
