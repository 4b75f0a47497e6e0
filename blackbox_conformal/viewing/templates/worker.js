// Beside the page: the codes of one picture at full size, and what is calculated from all of them.

let marks = null, size = null, address = "", codes = null, mixing = null;

async function fetched(part) {
  const answer = await fetch(`${address}/${part}`);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer;
}

// As they are stored, a byte a pixel; the number of bytes tells whether they are this picture's.
async function codesOf(part) {
  const found = await inflate((await fetched(part)).body, size.width);
  if (found.length !== size.width * size.height) throw new Error(`${part} of this picture is damaged`);
  return found;
}

async function open({ shared, at, width, height, firstStops, errors }) {
  [stops, address, size] = [shared, at, { width, height }];
  const [levels, wrong] = await Promise.all([codesOf("levels"), errors ? codesOf("errors") : null]);
  for (let i = 0; i < levels.length; i += 1) levels[i] = firstStops[levels[i]];
  codes = levels;
  marks = makeMarks(levels, wrong, width);
  return marks.most;
}

function image(request) {
  return marks.image(request);
}

function at([row, column]) {
  return marks.at(row, column);
}

// For each pixel whether it is trusted at a stop, at full size.
function mask(stop) {
  const trusted = new Uint8Array(codes.length);
  for (let i = 0; i < codes.length; i += 1) trusted[i] = codes[i] <= stop ? 1 : 0;
  return trusted;
}

// Delivered pixels where they are trusted, those of the enlarged input elsewhere.
async function safe({ stop, outside }) {
  mixing ??= Promise.all(["delivered", "enlarged"].map(pixelsOf));
  const [delivered, plain] = await mixing;
  const mixed = new ImageData(size.width, size.height);
  const pixels = new Uint32Array(mixed.data.buffer);
  const last = outside ? -1 : stop;
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = codes[i] <= last ? delivered[i] : plain[i];
  return createImageBitmap(mixed);
}

async function pixelsOf(part) {
  const untouched = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(await (await fetched(part)).blob(), untouched);
  const context = new OffscreenCanvas(size.width, size.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Uint32Array(context.getImageData(0, 0, size.width, size.height).data.buffer);
}

const calls = { open, image, at, mask, safe };

onmessage = async ({ data: { number, name, value } }) => {
  try {
    const result = await calls[name](value);
    const moved = result instanceof ImageData ? [result.data.buffer] : result instanceof ImageBitmap ? [result] : [];
    postMessage({ number, result }, moved);
  } catch (error) {
    postMessage({ number, problem: String(error.message ?? error) });
  }
};
