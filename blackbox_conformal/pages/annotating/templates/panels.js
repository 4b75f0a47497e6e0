// The two pictures with the marks over them, under one zoom and one place. Zoom is screen pixels for a picture pixel.

const LARGEST_ZOOM = 64;

const tintOf = (level) => {
  const part = level / 255;
  return [Math.round(255 - 41 * part), Math.round(205 * (1 - part)), Math.round(150 * part), level ? Math.round(110 + 90 * part) : 0];
};
// All four values of a pixel at once, in this machine's order of bytes.
const TINTS = new Uint32Array(Uint8Array.from(Array.from({length: 256}, (_, level) => tintOf(level)).flat()).buffer);

class Panels {
  constructor(stage, canvases) {
    this.stage = stage;
    this.canvases = canvases;
    this.pictures = [];
    this.place = {zoom: 1, x: 0, y: 0};
    this.opacity = 0.7;
    this.hidden = false;
    this.swapped = false;
    this.beside = true;
    this.pointer = null;
    this.corners = [];
    this.tint = document.createElement("canvas");
    this.whole = true;
    new ResizeObserver(() => this.resized()).observe(stage);
  }

  show(pictures, marks) {
    this.release();
    this.pictures = pictures;
    this.marks = marks;
    this.tint.width = marks.width;
    this.tint.height = marks.height;
    this.painted({left: 0, top: 0, columns: marks.width, rows: marks.height});
    this.resized();
    this.fit();
  }

  // Shows no picture, so that none is taken for another.
  clear() {
    this.release();
    this.marks = null;
    for (const canvas of this.canvases) canvas.width = canvas.width;
  }

  // The pixels of bitmaps stay in memory until they are closed; the garbage collector is late.
  release() {
    for (const picture of this.pictures) picture.close();
    this.pictures = [];
  }

  // Shows the levels of an area as colours.
  painted({left, top, columns, rows}) {
    if (columns <= 0 || rows <= 0) return;
    const image = new ImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
    for (let row = 0; row < rows; row++) {
      const start = (top + row) * this.marks.width + left;
      for (let column = 0; column < columns; column++) pixels[row * columns + column] = TINTS[this.marks.levels[start + column]];
    }
    this.tint.getContext("2d").putImageData(image, left, top);
    this.redraw();
  }

  resized() {
    const ratio = devicePixelRatio || 1;
    for (const canvas of this.canvases) {
      // Whole screen pixels, so that nothing is resampled; the canvas is made as large as they are.
      const box = canvas.parentElement.getBoundingClientRect();
      canvas.width = Math.max(Math.floor(box.width * ratio), 1);
      canvas.height = Math.max(Math.floor(box.height * ratio), 1);
      canvas.style.width = `${canvas.width / ratio}px`;
      canvas.style.height = `${canvas.height / ratio}px`;
    }
    if (this.marks && this.whole) this.fit();
    this.redraw();
  }

  get size() {
    const shown = this.canvases.find((canvas) => !canvas.hidden);
    return [shown.width, shown.height];
  }

  // The pixel of the picture under a point of the window; outside of it where there is none.
  pixelAt(canvas, clientX, clientY) {
    const box = canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    const x = Math.floor(((clientX - box.left) * ratio - this.place.x) / this.place.zoom);
    const y = Math.floor(((clientY - box.top) * ratio - this.place.y) / this.place.zoom);
    return [x, y];
  }

  fit() {
    const [width, height] = this.size;
    this.zoomTo(Math.min(width / this.marks.width, height / this.marks.height, LARGEST_ZOOM));
    this.whole = true;
    this.place.x = (width - this.marks.width * this.place.zoom) / 2;
    this.place.y = (height - this.marks.height * this.place.zoom) / 2;
    this.redraw();
  }

  // Zooms and keeps the point (x, y) of the panels, by default their middle, where it is.
  zoomTo(zoom, x = this.size[0] / 2, y = this.size[1] / 2) {
    const wanted = Math.min(Math.max(zoom, 0.02), LARGEST_ZOOM), ratio = wanted / this.place.zoom;
    this.whole = false;
    this.place = {zoom: wanted, x: x - (x - this.place.x) * ratio, y: y - (y - this.place.y) * ratio};
    this.redraw();
  }

  move(dx, dy) {
    this.whole = false;
    this.place.x += dx;
    this.place.y += dy;
    this.redraw();
  }

  // Moves the pictures so far that a pixel is seen.
  reveal(x, y) {
    const [width, height] = this.size, {zoom} = this.place, margin = Math.min(40, width / 4, height / 4);
    const at = [this.place.x + (x + 0.5) * zoom, this.place.y + (y + 0.5) * zoom];
    const dx = Math.max(margin - at[0], 0) + Math.min(width - margin - at[0], 0);
    const dy = Math.max(margin - at[1], 0) + Math.min(height - margin - at[1], 0);
    if (dx || dy) this.move(dx, dy);
  }

  redraw() {
    if (this.waiting || !this.marks) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.marks) this.draw();
    });
  }

  draw() {
    this.canvases.forEach((canvas, side) => {
      if (canvas.hidden) return;
      const context = canvas.getContext("2d"), {zoom, x, y} = this.place;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.setTransform(zoom, 0, 0, zoom, x, y);
      context.imageSmoothingEnabled = zoom < 1;
      context.drawImage(this.pictures[this.beside || !this.swapped ? side : 1 - side], 0, 0);
      if (!this.hidden) {
        context.globalAlpha = this.opacity;
        context.drawImage(this.tint, 0, 0);
        context.globalAlpha = 1;
      }
      this.drawPointer(context);
    });
    Object.assign(this.stage.dataset, {zoom: this.place.zoom, x: this.place.x, y: this.place.y});
    this.onDraw?.();
  }

  drawPointer(context) {
    const {zoom, x, y} = this.place;
    context.setTransform(1, 0, 0, 1, x, y);
    const stroke = () => {
      for (const [style, width] of [["#000", 3], ["#fff", 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.stroke();
      }
    };
    if (this.corners.length) {
      context.beginPath();
      for (const [cornerX, cornerY] of this.corners) context.lineTo(cornerX * zoom, cornerY * zoom);
      if (this.pointer) context.lineTo((this.pointer.x + 0.5) * zoom, (this.pointer.y + 0.5) * zoom);
      stroke();
      for (const [cornerX, cornerY] of this.corners) {
        context.beginPath();
        context.arc(cornerX * zoom, cornerY * zoom, 4, 0, 7);
        stroke();
      }
    }
    if (!this.pointer) return;
    const middleX = (this.pointer.x + 0.5) * zoom, middleY = (this.pointer.y + 0.5) * zoom;
    context.beginPath();
    context.arc(middleX, middleY, Math.max(this.pointer.size * zoom / 2, 3), 0, 7);
    stroke();
    if (!this.pointer.keyboard) return;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      const from = Math.max(this.pointer.size * zoom / 2, 3) + 2;
      context.beginPath();
      context.moveTo(middleX + dx * from, middleY + dy * from);
      context.lineTo(middleX + dx * (from + 10), middleY + dy * (from + 10));
      stroke();
    }
  }
}
