// Shapes as whole pixels. Every rule is one of whole numbers, or that of the importers of polygons, operation by
// operation, so that the same marks come out wherever they are computed.

// Rows of a disc of an odd diameter: [row, columns to either side].
const discRows = (diameter) => {
  const reach = (diameter - 1) / 2;
  const rows = [];
  for (let row = -reach; row <= reach; row++) {
    let side = -1;
    while (4 * ((side + 1) ** 2 + row * row) < diameter * diameter) side++;
    if (side >= 0) rows.push([row, side]);
  }
  return rows;
};

// Calls visit with each pixel of the line, both ends included.
const alongLine = (x, y, toX, toY, visit) => {
  const dx = Math.abs(toX - x), dy = -Math.abs(toY - y);
  const stepX = x < toX ? 1 : -1, stepY = y < toY ? 1 : -1;
  let error = dx + dy;
  for (;;) {
    visit(x, y);
    if (x === toX && y === toY) return;
    const twice = 2 * error;
    if (twice >= dy) { error += dy; x += stepX; }
    if (twice <= dx) { error += dx; y += stepY; }
  }
};

// The pixels of a polygon with corners [x, y] in a picture: {left, top, columns, rows, inside}. A pixel counts when its
// centre lies inside (even-odd rule) or the outline passes through it.
const polygonPixels = (corners, pictureWidth, pictureHeight) => {
  const xs = corners.map((corner) => corner[0]), ys = corners.map((corner) => corner[1]);
  const left = Math.max(Math.floor(Math.min(...xs)), 0), top = Math.max(Math.floor(Math.min(...ys)), 0);
  const columns = Math.min(Math.floor(Math.max(...xs)) + 1, pictureWidth) - left;
  const rows = Math.min(Math.floor(Math.max(...ys)) + 1, pictureHeight) - top;
  const moved = corners.map(([x, y]) => [x - left, y - top]);
  const edges = moved.map((start, at) => [...start, ...moved[(at + 1) % moved.length]]);
  const toggles = new Uint8Array(rows * (columns + 1));
  for (const edge of edges) crossRows(toggles, columns, rows, ...edge);
  const inside = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    let odd = 0;
    for (let column = 0; column < columns; column++) {
      odd ^= toggles[row * (columns + 1) + column];
      inside[row * columns + column] = odd;
    }
  }
  for (const edge of edges) outline(inside, columns, rows, ...edge);
  return {left, top, columns, rows, inside};
};

const crossRows = (toggles, columns, rows, x, y, u, v) => {
  const first = Math.max(Math.ceil(Math.min(y, v) - 0.5), 0);
  const last = Math.min(Math.ceil(Math.max(y, v) - 0.5), rows);
  for (let row = first; row < last; row++) {
    const column = Math.ceil(x + (row + 0.5 - y) * ((u - x) / (v - y)) - 0.5);
    toggles[row * (columns + 1) + Math.min(Math.max(column, 0), columns)] ^= 1;
  }
};

const outline = (inside, columns, rows, x, y, u, v) => {
  const count = Math.floor(4 * Math.max(Math.abs(u - x), Math.abs(v - y))) + 2;
  const step = 1 / (count - 1);
  for (let at = 0; at < count; at++) {
    const part = at === count - 1 ? 1 : at * step;
    const across = x + (u - x) * part, down = y + (v - y) * part;
    const column = Math.floor(across), row = Math.floor(down);
    // Along the line between two pixels it enters neither.
    if (column === across || row === down) continue;
    if (row >= 0 && row < rows && column >= 0 && column < columns) inside[row * columns + column] = 1;
  }
};
