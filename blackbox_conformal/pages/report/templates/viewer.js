// The viewer: two pictures of one scene in one view, so that zoom and pan are the same for both, and marks over them.

function makeViewer(opened = () => {}, failed = () => {}) {
  const root = byId("viewer"), stage = byId("stage"), place = byId("divide");
  const left = byId("left"), right = byId("right"), marks = byId("marks");
  const kinds = { left: byId("left-kind"), right: byId("right-kind"), marks: byId("marks-kind") };
  const titles = { plain: "plain enlargement", low: "vendor's input", delivered: "delivered", truth: "photograph", safe: mixedTitle };
  let card = null, wanted = null, view = makeView(1, 1), fitted = true, blinking = null, beside = false;
  let room = { width: 1, height: 1 }, scale = null, drawing = false, again = false, drawn = {}, chosen = false, placed = false;

  async function open(next, look) {
    wanted = next;
    root.dataset.ready = "no";
    await next.open();
    // Somebody may have asked for another picture meanwhile: then this one is not shown, and must not stay open.
    if (wanted !== next) {
      if (next !== card) next.close();
      return;
    }
    if (card && card !== next) card.close();
    card = next;
    byId("viewer-name").textContent = card.name;
    byId("viewer-noted").textContent = card.noted;
    byId("viewer-noted").hidden = !card.noted;
    offer(kinds.left, ["truth", "plain", "low", "delivered", "safe"]);
    offer(kinds.right, ["delivered", "safe", "truth", "plain", "low"]);
    kinds.marks.querySelector("[value=error]").disabled = !card.hasErrors;
    kinds.marks.querySelector("[value=classes]").disabled = !card.hasClasses;
    if (!chosen || kinds.marks.selectedOptions[0].disabled) kinds.marks.value = usualMarks();
    view = makeView(card.width, card.height);
    blinking = null;
    fit();
    drawn = {};
    chooseMarks();
    levelChanged();
    await settled();
    if (wanted !== next) return;
    if (look) { root.scrollIntoView({ block: "start" }); stage.focus({ preventScroll: true }); }
    root.dataset.shown = card.name;
    root.dataset.ready = "yes";
    opened(card);
  }

  const isMask = (kind) => kind === "mask" || kind === "classes";
  const usualMarks = () => (card.dotted ? "classes" : "mask");

  // Leaves those of `wanted` that this picture has, and keeps the choice where it can be kept.
  function offer(select, wanted) {
    const before = select.value;
    const here = wanted.filter((kind) => card.kinds.includes(kind === "safe" ? "low" : kind));
    select.replaceChildren(...here.map((kind) => new Option(titles[kind], kind)));
    select.value = here.includes(before) ? before : here[0];
  }

  // ---- the view ----

  const pane = () => room;

  function fit() {
    // On paper the viewer has no size.
    if (!stage.clientWidth) return;
    const tall = document.fullscreenElement ? innerHeight * 0.8 : innerHeight * 0.68;
    const across = paneWidth() / view.width, down = (tall * devicePixelRatio) / view.height;
    const zoom = Math.min(across, down, 8);
    resize(zoom);
    setZoom(zoom, 0, 0);
    fitted = true;
    if (!placed) startDivider();
    sayZoom();
  }

  // Until a person moves it the line leaves most of the picture to the mask.
  function startDivider() {
    const width = Math.min(view.across, room.width), edge = (room.width - width) / 2;
    place.value = Math.round((100 * (edge + 0.15 * width)) / room.width);
    divide();
  }

  function resize(zoom) {
    const height = Math.max(Math.round(zoom * view.height), 160 * devicePixelRatio);
    stage.style.height = `${height / devicePixelRatio}px`;
    room = { width: paneWidth(), height: Math.round(height) };
  }

  function setZoom(zoom, x, y) {
    const before = view.across / view.width;
    view.zoom = Math.min(Math.max(zoom, 1 / 32), 32);
    view.across = Math.max(1, Math.round(view.width * view.zoom));
    view.down = Math.max(1, Math.round(view.height * view.zoom));
    const grown = view.across / view.width / before;
    moveTo((view.left + x) * grown - x, (view.top + y) * grown - y);
    fitted = false;
    sayZoom();
  }

  // A picture that is smaller than the stage stands in its middle.
  function moveTo(x, y) {
    const { width, height } = pane();
    const within = (at, drawn, room) =>
      Math.round(drawn <= room ? (drawn - room) / 2 : Math.min(Math.max(at, 0), drawn - room));
    view.left = within(x, view.across, width);
    view.top = within(y, view.down, height);
    draw();
  }

  const movable = () => view.across > pane().width || view.down > pane().height;

  function sayZoom() {
    byId("zoom").textContent = `${Number((100 * view.zoom).toPrecision(3))} %`;
    stage.style.touchAction = movable() ? "none" : "pan-y";
    stage.classList.toggle("movable", movable());
  }

  // ---- what is drawn ----

  // One drawing at a time: what is asked for meanwhile is drawn once, after it.
  function draw() {
    again = true;
    if (drawing || !card) return;
    drawing = true;
    stage.dataset.drawing = "yes";
    requestAnimationFrame(async () => {
      while (again) {
        again = false;
        try {
          await drawNow();
        } catch (problem) {
          failed(problem);
        }
      }
      drawing = false;
      stage.dataset.drawing = "no";
    });
  }

  async function settled() {
    while (drawing || again) await new Promise((done) => requestAnimationFrame(done));
  }

  // Pictures and marks come together on the screen, however long each takes.
  async function drawNow() {
    const now = { card, level, view: { ...view }, room, kind: kinds.marks.value };
    const sources = await Promise.all(["left", "right"].map((side) => pictureOf(kinds[side].value, side, now)));
    const image = now.kind === "none" ? null : await now.card.marks.image({
      kind: now.kind, view: now.view, across: room.width, down: room.height, level: now.level, stripes: stripesOf(),
      colours: scale?.colours,
    });
    if (now.card !== card) return;
    for (const [index, canvas] of [left, right].entries()) drawPicture(canvas, sources[index], now);
    fill(marks, now.room);
    if (image) marks.getContext("2d").putImageData(image, 0, 0);
    if (isMask(now.kind)) hatch(marks.getContext("2d"), card.differing, now.view, card.block, stripesOf());
    stage.dataset.view = [now.view.left, now.view.top, now.view.across, now.view.down].join(" ");
    stage.dataset.stop = String(now.level);
    divide();
  }

  // A new level changes the safe picture alone. Null: it is drawn already.
  async function pictureOf(kind, side, { level: stop, view: at, room: within }) {
    const wanted = [kind, kind === "safe" ? stop : "", ...Object.values(at), within.width, within.height].join(" ");
    if (drawn[side] === wanted) return null;
    const picture = await (kind === "safe" ? card.safe({ level: stop, view: at, room: within }) : card.picture(kind));
    return { kind, picture, wanted };
  }

  function fill(canvas, { width, height }) {
    if (canvas.width === width && canvas.height === height) canvas.getContext("2d").clearRect(0, 0, width, height);
    else [canvas.width, canvas.height] = [width, height];
  }

  function drawPicture(canvas, source, now) {
    if (!source) return;
    const { kind, picture, wanted } = source;
    drawn[canvas.id] = wanted;
    fill(canvas, now.room);
    const context = canvas.getContext("2d");
    if (picture instanceof ImageData) {
      context.putImageData(picture, 0, 0);
      return;
    }
    const own = kind === "low" ? picture.width : now.view.width;
    // Enlarged by a whole number every pixel is equally large; otherwise the browser has to smooth.
    context.imageSmoothingEnabled = now.view.across < own || now.view.across % own !== 0;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, -now.view.left, -now.view.top, now.view.across, now.view.down);
  }

  const stripesOf = () => [Math.round(11 * devicePixelRatio), Math.round(2 * devicePixelRatio)];

  function divide() {
    const at = blinking === null ? Number(place.value) : blinking ? 100 : 0;
    const split = !beside;
    left.style.clipPath = split ? `inset(0 ${100 - at}% 0 0)` : "none";
    marks.style.clipPath = split ? `inset(0 0 0 ${at}%)` : "none";
    byId("divider").style.left = `${at}%`;
    byId("divider").hidden = !split || blinking !== null;
    place.disabled = !split;
    byId("left-tag").textContent = titles[kinds.left.value];
    const marked = kinds.marks.value === "none" ? "" : ` with ${kinds.marks.value === "classes" ? "mask" : kinds.marks.value}`;
    byId("right-tag").textContent = titles[kinds.right.value] + marked;
    byId("left-tag").hidden = at < 12 && split;
    byId("right-tag").hidden = at > 88 && split;
    place.setAttribute("aria-valuetext", `${at} % of the width shows: ${titles[kinds.left.value]}`);
    byId("blink").setAttribute("aria-pressed", String(blinking !== null));
  }

  function setOpacity(share) {
    byId("opacity").value = share;
    marks.style.opacity = share / 100;
  }

  function levelChanged() {
    if (!card) return;
    const wrong = card.loss() === null || !card.share() ? "" : `, ${byId("order").dataset.loss} ${card.loss().toFixed(3)}`;
    const pick = card.element?.dataset.pick ? `${card.element.dataset.pick} picture, ` : "";
    byId("viewer-share").textContent = pick + trustedWords(card) + wrong;
    draw();
  }

  function chooseMarks() {
    const kind = kinds.marks.value;
    if (kind === "error") scale = errorScale(card.marks.most);
    if (kind === "score") scale = scaleOfScores;
    byId("veil-key").hidden = !isMask(kind);
    byId("differ-key").hidden = !isMask(kind) || !card.differing.length;
    byId("dot-key").hidden = byId("against-key").hidden = kind !== "classes";
    byId("clear-key").textContent = kind === "classes" ? "clear: detail was added and is trusted" : "clear: trusted";
    byId("heat-key").hidden = kind !== "score" && kind !== "error";
    if (!byId("heat-key").hidden) drawLegend();
    draw();
  }
  const scaleOfScores = scoreScale();

  function drawLegend() {
    byId("heat-title").textContent = scale.title;
    const bar = byId("heat-bar");
    for (let x = 0; x < bar.width; x += 1) {
      const context = bar.getContext("2d");
      context.fillStyle = `rgb(${heat(x / (bar.width - 1)).slice(0, 3).join(" ")})`;
      context.fillRect(x, 0, 1, bar.height);
    }
    byId("heat-ticks").replaceChildren(...scale.ticks.map(([share, text]) => {
      const tick = document.createElement("span");
      tick.textContent = text;
      tick.style.left = `${100 * share}%`;
      return tick;
    }));
  }

  // ---- what people do ----

  function blink() {
    blinking = blinking === null ? Number(place.value) < 50 : !blinking;
    divide();
  }

  function step(by) {
    const shown = shownCards();
    if (shown.length) open(shown[(shown.indexOf(wanted) + by + shown.length) % shown.length], false).catch(failed);
  }

  const middle = () => [pane().width / 2, pane().height / 2];
  const keys = {
    "+": () => setZoom(view.zoom * 2, ...middle()), "=": () => setZoom(view.zoom * 2, ...middle()),
    "-": () => setZoom(view.zoom / 2, ...middle()), "0": fit, "1": () => setZoom(1, ...middle()), b: blink,
    n: () => step(1), p: () => step(-1), Escape: () => { blinking = null; divide(); },
    m: () => { kinds.marks.value = kinds.marks.value === "none" ? usualMarks() : "none"; chosen = true; chooseMarks(); },
    ArrowLeft: () => moveTo(view.left - 60, view.top), ArrowRight: () => moveTo(view.left + 60, view.top),
    ArrowUp: () => moveTo(view.left, view.top - 60), ArrowDown: () => moveTo(view.left, view.top + 60),
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key] || !card) return;
    event.preventDefault();
    keys[event.key]();
  });
  const press = { in: "+", out: "-", native: "1", fit: "0", blink: "b", next: "n", previous: "p" };
  for (const [id, key] of Object.entries(press)) byId(id).addEventListener("click", () => card && keys[key]());
  byId("full").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen();
  });
  document.addEventListener("fullscreenchange", () => card && fit());
  byId("beside").addEventListener("click", () => {
    beside = !beside;
    stage.classList.toggle("beside", beside);
    byId("beside").setAttribute("aria-pressed", String(beside));
    fit();
  });
  place.addEventListener("input", () => { placed = true; blinking = null; divide(); });
  for (const select of [kinds.left, kinds.right]) select.addEventListener("change", draw);
  kinds.marks.addEventListener("change", () => {
    chosen = true;
    // A heat map hides the picture more than a mask does.
    setOpacity(["score", "error"].includes(kinds.marks.value) ? 75 : 100);
    chooseMarks();
  });
  byId("opacity").addEventListener("input", () => setOpacity(byId("opacity").value));

  // Screen pixels from the upper left corner of a pane.
  function at(event) {
    const box = stage.getBoundingClientRect();
    const x = (event.clientX - box.left) * devicePixelRatio;
    return [beside ? x % room.width : x, (event.clientY - box.top) * devicePixelRatio];
  }

  const pointers = new Map();
  let dividing = false;
  function drag(event) {
    const [x, y] = at(event), [wasX, wasY] = pointers.get(event.pointerId);
    const other = [...pointers].find(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    if (other) {
      const [, [otherX, otherY]] = other;
      const apart = Math.hypot(x - otherX, y - otherY), wasApart = Math.hypot(wasX - otherX, wasY - otherY);
      setZoom((view.zoom * apart) / Math.max(wasApart, 1), otherX, otherY);
    } else if (dividing) {
      place.value = Math.round((100 * x) / room.width);
      placed = true;
      blinking = null;
      divide();
    } else moveTo(view.left + wasX - x, view.top + wasY - y);
  }
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !card) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    const near = Math.abs(at(event)[0] / room.width - place.value / 100) * stage.clientWidth < 28;
    dividing = !beside && (near || !movable());
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (pointers.has(event.pointerId)) drag(event);
    else if (card) read(...at(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  stage.addEventListener("dblclick", (event) => {
    if (movable()) fit();
    else setZoom(Math.max(1, 2 * view.zoom), ...at(event));
  });
  // A plain wheel scrolls the page; with Ctrl, as a touchpad's pinch arrives, it zooms.
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    setZoom(view.zoom * 2 ** (-event.deltaY / 200), ...at(event));
  }, { passive: false });

  // What the pixel below the pointer is.
  async function read(x, y) {
    const column = Math.floor(((x + view.left) * view.width) / view.across);
    const row = Math.floor(((y + view.top) * view.height) / view.down);
    const inside = column >= 0 && row >= 0 && column < view.width && row < view.height;
    byId("reading").textContent = inside ? reading(row, column, await card.marks.at(row, column)) : "";
  }

  function reading(row, column, [first, code]) {
    const from = stops.labels[first];
    const trusted = from ? `trusted from alpha ${from}` : "never trusted";
    const error = code === null ? "" : `, error about ${errorOf(code).toPrecision(2)}`;
    return `row ${row * card.block}, column ${column * card.block}: ${trusted}${error}`;
  }

  const paneWidth = () => Math.round((stage.clientWidth * devicePixelRatio) / (beside ? 2 : 1));
  // A window of another size fits the picture again, but keeps the zoom that a person chose.
  function resized() {
    if (!card || paneWidth() === room.width) return;
    if (fitted) fit();
    else {
      room = { ...room, width: paneWidth() };
      moveTo(view.left, view.top);
    }
  }
  new ResizeObserver(() => requestAnimationFrame(resized)).observe(stage);
  return { open, levelChanged };
}
