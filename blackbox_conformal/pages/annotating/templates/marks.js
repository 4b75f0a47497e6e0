// The levels of one picture, 0 to 255 a pixel, with everything that was done to them.

const MOST_KEPT_BYTES = 256 * 2 ** 20;

class Marks {
  constructor(width, height, levels) {
    this.width = width;
    this.height = height;
    this.levels = levels ?? new Uint8Array(width * height);
    this.base = this.levels.slice();
    this.done = [];
    this.undone = [];
    this.untouched();
  }

  untouched() {
    this.dirty = {left: this.width, top: this.height, right: 0, bottom: 0};
  }

  touch(left, top, right, bottom) {
    const dirty = this.dirty;
    dirty.left = Math.min(dirty.left, left);
    dirty.top = Math.min(dirty.top, top);
    dirty.right = Math.max(dirty.right, right);
    dirty.bottom = Math.max(dirty.bottom, bottom);
  }

  disc(x, y, rows, level) {
    for (const [row, side] of rows) {
      const at = y + row, from = Math.max(x - side, 0), to = Math.min(x + side + 1, this.width);
      if (at < 0 || at >= this.height || from >= to) continue;
      this.levels.fill(level, at * this.width + from, at * this.width + to);
      this.touch(from, at, to, at + 1);
    }
  }

  polygon(corners, level) {
    const {left, top, columns, rows, inside} = polygonPixels(corners, this.width, this.height);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (inside[row * columns + column]) this.levels[(top + row) * this.width + left + column] = level;
      }
    }
    this.touch(left, top, left + columns, top + rows);
  }

  all(levels) {
    this.levels.set(levels);
    this.touch(0, 0, this.width, this.height);
  }

  // Ends what can be undone in one go; whether anything changed.
  commit() {
    const {left, top, right, bottom} = this.dirty;
    this.untouched();
    if (right <= left || bottom <= top) return false;
    const area = {left, top, columns: right - left, rows: bottom - top};
    const entry = {area, before: this.cut(this.base, area), after: this.cut(this.levels, area)};
    this.put(this.base, area, entry.after);
    if (entry.before.every((level, at) => level === entry.after[at])) return false;
    this.done.push(entry);
    this.undone = [];
    let bytes = this.done.reduce((sum, one) => sum + 2 * one.before.length, 0);
    while (bytes > MOST_KEPT_BYTES && this.done.length > 1) bytes -= 2 * this.done.shift().before.length;
    return true;
  }

  undo() {
    return this.step(this.done, this.undone, "before");
  }

  redo() {
    return this.step(this.undone, this.done, "after");
  }

  step(from, to, which) {
    const entry = from.pop();
    if (!entry) return null;
    to.push(entry);
    this.put(this.levels, entry.area, entry[which]);
    this.put(this.base, entry.area, entry[which]);
    return entry.area;
  }

  cut(levels, {left, top, columns, rows}) {
    const part = new Uint8Array(columns * rows);
    for (let row = 0; row < rows; row++) {
      const start = (top + row) * this.width + left;
      part.set(levels.subarray(start, start + columns), row * columns);
    }
    return part;
  }

  put(levels, {left, top, columns, rows}, part) {
    for (let row = 0; row < rows; row++) {
      levels.set(part.subarray(row * columns, (row + 1) * columns), (top + row) * this.width + left);
    }
  }

  get markedPixels() {
    let count = 0;
    for (const level of this.levels) if (level) count++;
    return count;
  }
}
