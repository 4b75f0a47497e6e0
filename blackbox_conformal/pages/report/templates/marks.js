// Marks over a picture: what is not trusted, the score, the error. A mark's code is a byte for each picture pixel.

function makeView(width, height) {
  // A picture of width × height, drawn across × down screen pixels large; left and top are the place in that drawing,
  // in screen pixels, which the upper left corner of the stage shows.
  return { width, height, zoom: 1, across: width, down: height, left: 0, top: 0 };
}

// The picture pixels that each of `count` screen pixels shows, of `size` pixels that are drawn `drawn` screen pixels
// long: the one below its centre, or all that it covers where the picture is drawn smaller than it is.
function spans(count, from, size, drawn) {
  const first = new Int32Array(count).fill(0), last = new Int32Array(count).fill(-1);
  for (let i = 0; i < count; i += 1) {
    const at = from + i;
    if (at < 0 || at >= drawn) continue;
    first[i] = Math.floor(drawn < size ? (at * size) / drawn : ((2 * at + 1) * size) / (2 * drawn));
    last[i] = drawn < size ? Math.ceil(((at + 1) * size) / drawn) - 1 : first[i];
  }
  return { first, last };
}

// The largest code of the picture pixels that each screen pixel shows, -1 outside the picture. The largest is that of
// the least trusted pixel, or of the largest error: a smaller picture never looks better than the picture.
function largestCodes(codes, view, width, height) {
  const columns = spans(width, view.left, view.width, view.across);
  const rows = spans(height, view.top, view.height, view.down);
  const found = new Int16Array(width * height).fill(-1);
  for (let y = 0, i = 0; y < height; y += 1) {
    if (y > 0 && rows.first[y] === rows.first[y - 1] && rows.last[y] === rows.last[y - 1]) {
      // An enlarged picture shows the same pixels in several rows of the screen.
      found.copyWithin(i, i - width, i);
      i += width;
      continue;
    }
    for (let x = 0; x < width; x += 1, i += 1) {
      let most = -1;
      for (let row = rows.first[y]; row <= rows.last[y]; row += 1) {
        for (let column = columns.first[x]; column <= columns.last[x]; column += 1) {
          const code = codes[row * view.width + column];
          if (code > most) most = code;
        }
      }
      found[i] = most;
    }
  }
  return found;
}

function asPixels(colours) {
  return new Uint32Array(new Uint8Array(colours.flat()).buffer);
}

// White squares with a black one at a corner, which are seen on every ground: 1 where white, -1 where black, else 0.
function dotAt(x, y, period, thick) {
  const pitch = 2 * period, down = y % pitch, along = (x + (Math.floor(y / pitch) % 2) * period) % pitch;
  if (down < thick && along < thick) return 1;
  return down >= thick && down < 2 * thick && along >= thick && along < 2 * thick ? -1 : 0;
}

// Darkened and striped where the code is above `level`, darker and along both diagonals where that in `added` is 2;
// elsewhere dotted where it is 0.
function veil(codes, width, height, level, [period, thick], added = null) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const plain = [[255, 255, 255, 255], [0, 0, 0, 255]];
  const [dark, heavy, stripe, white, black] = asPixels([stops.veil, stops.heavy, stops.stripe, ...plain]);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (codes[i] > level) {
        const against = added && added[i] === 2, crossing = against && (x + period * height - y) % period < thick;
        pixels[i] = crossing || (x + y) % period < thick ? stripe : against ? heavy : dark;
      }
      else if (added && added[i] === 0) pixels[i] = [black, 0, white][dotAt(x, y, period, thick) + 1];
    }
  }
  return image;
}

function paintVeil(canvas, codes, level, stripes, added = null) {
  canvas.getContext("2d").putImageData(veil(codes, canvas.width, canvas.height, level, stripes, added), 0, 0);
}

// Frames and hatches places where the answer differs from its input, across the stripes: each is top, left, height and
// width in pixels of the answer, `block` of which one picture pixel stands for.
function hatch(context, places, view, block, [period, thick]) {
  const [across, down] = [view.across / view.width / block, view.down / view.height / block];
  for (const [top, left, tall, wide] of places) {
    const [x, y, width, height] = [left * across - view.left, top * down - view.top, wide * across, tall * down];
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.lineWidth = thick;
    for (const [colour, shift] of [["#000", 1.5 * thick], [`rgb(${stops.differing.join(" ")})`, 0]]) {
      context.strokeStyle = colour;
      context.beginPath();
      for (let at = x - height + shift; at < x + width; at += 2 * period) {
        context.moveTo(at, y);
        context.lineTo(at + height, y + height);
      }
      context.stroke();
    }
    context.lineWidth = 2 * thick;
    context.strokeRect(x, y, width, height);
    context.restore();
  }
}

function heatMap(codes, width, height, colours) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) if (codes[i] >= 0) pixels[i] = colours[codes[i]];
  return image;
}

// Codes as they are stored: each row as its differences to the row above, modulo 256.
async function inflate(stream, width) {
  const codes = new Uint8Array(await new Response(stream).arrayBuffer());
  for (let i = width; i < codes.length; i += 1) codes[i] += codes[i - width];
  return codes;
}

// The marks of one picture. What the screen shows of its codes is kept until the view is another one.
function makeMarks(first, errors, width) {
  const kept = {};
  function shown(name, codes, view, across, down) {
    const now = [across, down, ...Object.values(view)].join(" ");
    if (kept[name]?.now !== now) kept[name] = { now, codes: largestCodes(codes, view, across, down) };
    return kept[name].codes;
  }
  return {
    most: errors ? errors.reduce((most, code) => Math.max(most, code), 0) : 0,
    at: (row, column) => [first[row * width + column], errors ? errors[row * width + column] : null],
    image({ kind, view, across, down, level: at, stripes, colours, added }) {
      const [name, every] = kind === "error" ? ["errors", errors] : ["first", first];
      const codes = shown(name, every, view, across, down);
      if (kind === "score" || kind === "error") return heatMap(codes, across, down, colours);
      return veil(codes, across, down, at, stripes, kind === "classes" ? shown("added", added, view, across, down) : null);
    },
  };
}

// From dark violet by red to light yellow, for t from 0 to 1; light and dark differ, too, for all kinds of eyes.
const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
function heat(t) {
  const place = Math.min(Math.max(t, 0), 1) * (HEAT.length - 1);
  const index = Math.min(Math.floor(place), HEAT.length - 2);
  return [...HEAT[index].map((low, part) => Math.round(low + (place - index) * (HEAT[index + 1][part] - low))), 255];
}

const errorOf = (code) => stops.bound * (code / stops.codes) ** 2;

// Colours for the 256 codes of a mark, and its legend: [share of the bar, text].
function scoreScale() {
  const last = Math.max(stops.alphas.length - 1, 1);
  const never = [110, 110, 110, 255];
  const colours = asPixels(Array.from({ length: 256 }, (_, code) => (code > last ? never : heat(code / last))));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => [share, stops.labels[Math.round(share * last)]]);
  return { colours, ticks, title: "Score: the pixel is trusted from this alpha on (grey: never)" };
}

function errorScale(most) {
  const top = errorOf(Math.max(most, 1));
  const colours = asPixels(Array.from({ length: 256 }, (_, code) => heat(Math.sqrt(errorOf(code) / top))));
  const round = [0, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2].filter((error) => error <= top);
  const ticks = round.map((error) => [Math.sqrt(error / top), String(error)]);
  return { colours, ticks, title: "Error: difference from the photograph" };
}
