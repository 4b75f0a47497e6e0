// Beside the page: the codes of one picture at full size, and what is calculated from all of them.

let marks = null, size = null, address = "", codes = null, added = null, pictures = {};

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

async function image(request) {
  if (request.kind === "classes") added ??= await codesOf("added");
  return marks.image({ ...request, added });
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

// What the screen shows of the safe picture: pixels of the picture named `inside` where they are trusted, elsewhere of
// that named `shown`; where the view is smaller than the picture, the mean of some of those that a screen pixel covers.
async function safe({ stop, outside, inside, shown, view, across, down }) {
  const parts = [inside, shown].map((name) => (name === "delivered" ? name : `shown/${name}`));
  const [own, other] = await Promise.all(parts.map((part) => (pictures[part] ??= pixelsOf(part))));
  const columns = spans(across, view.left, view.width, view.across), rows = spans(down, view.top, view.height, view.down);
  const step = Math.ceil(view.width / view.across / 2);
  const mixed = new ImageData(across, down), pixels = mixed.data;
  const last = outside ? -1 : stop;
  for (let y = 0, i = 0; y < down; y += 1) {
    for (let x = 0; x < across; x += 1, i += 4) {
      let count = 0, red = 0, green = 0, blue = 0;
      for (let row = rows.first[y]; row <= rows.last[y]; row += step) {
        const end = row * size.width + columns.last[x];
        for (let at = row * size.width + columns.first[x]; at <= end; at += step) {
          const pixel = codes[at] <= last ? own[at] : other[at];
          red += pixel & 255;
          green += (pixel >> 8) & 255;
          blue += (pixel >> 16) & 255;
          count += 1;
        }
      }
      if (!count) continue;
      pixels[i] = red / count;
      pixels[i + 1] = green / count;
      pixels[i + 2] = blue / count;
      pixels[i + 3] = 255;
    }
  }
  return mixed;
}

async function pixelsOf(part) {
  const untouched = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(await (await fetched(part)).blob(), untouched);
  const context = new OffscreenCanvas(size.width, size.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  // Signed: such numbers fit into a register.
  return new Int32Array(context.getImageData(0, 0, size.width, size.height).data.buffer);
}

const calls = { open, image, at, mask, safe };

onmessage = async ({ data: { number, name, value } }) => {
  try {
    const result = await calls[name](value);
    const moved = result instanceof ImageData ? [result.data.buffer] : result instanceof Uint8Array ? [result.buffer] : [];
    postMessage({ number, result }, moved);
  } catch (error) {
    postMessage({ number, problem: String(error.message ?? error) });
  }
};
