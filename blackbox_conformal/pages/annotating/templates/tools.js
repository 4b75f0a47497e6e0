// What pointer and keys do to the marks: brush, eraser and polygon.

const SIZES = [1, 3, 5, 9, 15, 25, 41, 67, 111, 181, 299];

class Tools {
  constructor(panels, changed) {
    this.panels = panels;
    this.changed = changed;
    this.kind = "brush";
    this.size = 4;
    this.level = 255;
    this.pen = false;
    this.stroke = null;
    this.touches = new Map();
    for (const canvas of panels.canvases) this.listen(canvas);
  }

  // Begins a picture's marks; null: there is no picture.
  put(marks) {
    this.marks = marks;
    this.stroke = null;
    this.at = marks ? [marks.width >> 1, marks.height >> 1] : [0, 0];
    this.panels.corners = [];
    this.panels.pointer = null;
  }

  get diameter() {
    return this.kind === "polygon" ? 1 : SIZES[this.size];
  }

  choose(kind) {
    this.kind = kind;
    this.leave();
    this.point();
  }

  resize(by) {
    this.size = Math.min(Math.max(this.size + by, 0), SIZES.length - 1);
    this.point();
  }

  // Where the next mark would be.
  point(keyboard = this.panels.pointer?.keyboard ?? false) {
    this.panels.pointer = {x: this.at[0], y: this.at[1], size: this.diameter, keyboard};
    this.panels.redraw();
  }

  begin(x, y) {
    if (this.kind === "polygon") {
      this.panels.corners.push([x + 0.5, y + 0.5]);
      this.panels.redraw();
      return;
    }
    this.stroke = {x, y, rows: discRows(this.diameter), level: this.kind === "brush" ? this.level : 0};
    this.onward(x, y);
  }

  onward(x, y) {
    if (!this.stroke) return;
    const {rows, level} = this.stroke, reach = (this.diameter - 1) / 2;
    alongLine(this.stroke.x, this.stroke.y, x, y, (nowX, nowY) => this.marks.disc(nowX, nowY, rows, level));
    const left = Math.max(Math.min(x, this.stroke.x) - reach, 0), top = Math.max(Math.min(y, this.stroke.y) - reach, 0);
    const right = Math.min(Math.max(x, this.stroke.x) + reach + 1, this.marks.width);
    const bottom = Math.min(Math.max(y, this.stroke.y) + reach + 1, this.marks.height);
    this.panels.painted({left, top, columns: right - left, rows: bottom - top});
    this.stroke.x = x;
    this.stroke.y = y;
  }

  end() {
    if (!this.stroke) return;
    this.stroke = null;
    if (this.marks.commit()) this.changed();
  }

  // Closes the polygon.
  close() {
    const corners = this.panels.corners;
    this.leave();
    if (corners.length < 2) return;
    this.marks.polygon(corners, this.level);
    const {left, top, right, bottom} = this.marks.dirty;
    this.panels.painted({left, top, columns: right - left, rows: bottom - top});
    if (this.marks.commit()) this.changed();
  }

  // Gives the polygon up.
  leave() {
    this.panels.corners = [];
    this.panels.redraw();
  }

  step(which) {
    this.end();
    const area = this.marks[which]();
    if (!area) return;
    this.panels.painted(area);
    this.changed();
  }

  all(levels) {
    this.marks.all(levels);
    this.panels.painted({left: 0, top: 0, columns: this.marks.width, rows: this.marks.height});
    if (this.marks.commit()) this.changed();
  }

  // Moves the keyboard's place; while marks are being made, they follow.
  arrow(dx, dy) {
    const x = Math.min(Math.max(this.at[0] + dx, 0), this.marks.width - 1);
    const y = Math.min(Math.max(this.at[1] + dy, 0), this.marks.height - 1);
    this.at = [x, y];
    this.onward(x, y);
    this.panels.reveal(x, y);
    this.point(true);
  }

  press() {
    if (this.stroke) return;
    this.begin(...this.at);
    this.point(true);
  }

  release() {
    if (!this.pen) this.end();
  }

  // The pen stays down until it is lifted, for who does not hold keys down.
  togglePen() {
    this.pen = !this.pen;
    if (!this.pen) this.end();
    else if (this.kind !== "polygon") this.press();
  }

  listen(canvas) {
    const within = ([x, y]) => x >= 0 && y >= 0 && x < this.marks.width && y < this.marks.height;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.marks) return;
      canvas.setPointerCapture(event.pointerId);
      if (event.pointerType === "touch") this.touches.set(event.pointerId, [event.clientX, event.clientY]);
      if (event.button !== 0 || event.altKey || this.touches.size > 1) {
        this.end();
        this.drag = [event.clientX, event.clientY];
        event.preventDefault();
        return;
      }
      const pixel = this.panels.pixelAt(canvas, event.clientX, event.clientY);
      if (this.kind === "polygon" && !within(pixel)) return;
      this.at = pixel;
      this.begin(...pixel);
      this.point(false);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.marks) return;
      if (this.touches.has(event.pointerId)) this.pinch(canvas, event);
      if (this.touches.size > 1) return;
      if (this.drag) {
        const ratio = canvas.width / canvas.clientWidth;
        this.panels.move((event.clientX - this.drag[0]) * ratio, (event.clientY - this.drag[1]) * ratio);
        this.drag = [event.clientX, event.clientY];
        return;
      }
      const passed = this.stroke ? event.getCoalescedEvents?.() ?? [event] : [event];
      for (const one of passed.length ? passed : [event]) {
        this.at = this.panels.pixelAt(canvas, one.clientX, one.clientY);
        this.onward(...this.at);
      }
      this.point(false);
    });
    const stop = (event) => {
      this.touches.delete(event.pointerId);
      this.drag = null;
      this.end();
    };
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointercancel", stop);
    canvas.addEventListener("pointerleave", () => {
      if (this.stroke || !this.panels.pointer || this.panels.pointer.keyboard) return;
      this.panels.pointer = null;
      this.at = this.at.map((at, axis) => Math.min(Math.max(at, 0), (axis ? this.marks.height : this.marks.width) - 1));
      this.panels.redraw();
    });
    canvas.addEventListener("dblclick", () => this.kind === "polygon" && this.close());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      if (!this.marks) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
      const factor = 1.0015 ** -event.deltaY;
      this.panels.zoomTo(this.panels.place.zoom * factor, (event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    }, {passive: false});
  }

  // Two fingers move and zoom.
  pinch(canvas, event) {
    const before = [...this.touches.values()];
    this.touches.set(event.pointerId, [event.clientX, event.clientY]);
    if (before.length < 2) return;
    const after = [...this.touches.values()], box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    const middle = (pair) => [(pair[0][0] + pair[1][0]) / 2, (pair[0][1] + pair[1][1]) / 2];
    const apart = (pair) => Math.hypot(pair[0][0] - pair[1][0], pair[0][1] - pair[1][1]);
    const [fromX, fromY] = middle(before), [toX, toY] = middle(after);
    this.panels.move((toX - fromX) * ratio, (toY - fromY) * ratio);
    this.panels.zoomTo(this.panels.place.zoom * apart(after) / Math.max(apart(before), 1), (toX - box.left) * ratio, (toY - box.top) * ratio);
  }
}
