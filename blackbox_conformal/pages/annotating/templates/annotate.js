// The page: one picture at a time, its tools, and when its marks are saved.

const byId = (id) => document.getElementById(id);
const AUTOSAVE_MS = 700;
const settings = byId("annotate").dataset;
const total = Number(settings.total);

const panels = new Panels(byId("stage"), [byId("reference"), byId("output")]);
const tools = new Tools(panels, () => changed());
let current = null;
let annotator = settings.annotator;
let timer = 0;

const say = (text, kind = "") => {
  byId("status").textContent = text;
  byId("status").className = kind;
};

const showState = () => {
  byId("annotate").dataset.state = current?.unsaved ? "unsaved" : current?.stored.ever ? "saved" : "new";
  const share = current ? (100 * current.marks.markedPixels) / current.marks.levels.length : 0;
  byId("share").textContent = current ? `${share < 0.05 && share > 0 ? "< 0.1" : share.toFixed(1)} % marked` : "";
  byId("undo").disabled = !current?.marks.done.length;
  byId("redo").disabled = !current?.marks.undone.length;
  if (current?.unsaved) say("Not saved yet");
  else if (current?.stored.ever) say(`Saved for ${annotator}`, "good");
  else if (current) say("Nothing saved for this picture yet. If nothing differs, save it as it is.");
};

const changed = () => {
  current.unsaved = true;
  current.edits++;
  showState();
  clearTimeout(timer);
  if (!byId("forestalled").open) timer = setTimeout(() => save(), AUTOSAVE_MS);
};

// Saves; whether it is saved now. A save that is under way is waited for.
const save = async (overwrite = false) => {
  clearTimeout(timer);
  const picture = current;
  if (!picture) return false;
  while (picture.saving) await picture.saving;
  const edits = picture.edits;
  const saving = (async () => {
    try {
      await picture.stored.save(picture.marks.levels, overwrite);
    } catch (error) {
      if (error.status === 412) forestalled();
      else say(`Not saved: ${error.message}`, "bad");
      return false;
    }
    if (picture.edits === edits) picture.unsaved = false;
    tick(picture.index, true);
    if (picture === current) showState();
    return true;
  })();
  picture.saving = saving;
  const done = await saving;
  picture.saving = null;
  return done;
};

const forestalled = () => {
  say("Not saved: another window saved other marks of this picture. Yours are kept here.", "bad");
  byId("forestalled").showModal();
  // What a key that is being typed presses must change nothing.
  byId("later").focus();
};

const tick = (index, done) => {
  const option = byId("pictures").options[index];
  option.textContent = `${done ? "✓ " : ""}${option.dataset.name}`;
};

const linkExports = () => {
  for (const link of document.querySelectorAll("a[data-format]")) {
    link.href = `pictures/${current.index}/exported/${link.dataset.format}?${new URLSearchParams({annotator})}`;
  }
};

// Whether the picture that is shown may be left: its marks are saved.
const left = async () => {
  // What is drawn while a save is under way needs one more.
  do {
    if (!current) return true;
    tools.end();
    if (!current.unsaved) return true;
  } while (await save());
  if (!current) return true;
  byId("pictures").selectedIndex = current.index;
  byId("annotate").dataset.ready = "yes";
  return false;
};

let opening = 0;
const open = async (index) => {
  if (index < 0 || index >= total) return;
  const turn = ++opening;
  // At once: the next of the next is two on, however long this one takes to come.
  byId("pictures").selectedIndex = index;
  if (!(await left()) || turn !== opening) return;
  byId("annotate").dataset.ready = "no";
  say("Loading…");
  try {
    const about = await (await ask(`pictures/${index}`)).json();
    const stored = new Stored(index, about.pair, annotator);
    const [levels, ...pictures] = await Promise.all([stored.load(), ...["reference", "output"].map((side) => picture(index, side))]);
    // Meanwhile another picture may have been asked for, or more been marked on the one that is left.
    if (turn !== opening || !(await left()) || turn !== opening) {
      for (const overtaken of pictures) overtaken.close();
      return;
    }
    current = {index, name: about.name, stored, marks: new Marks(about.width, about.height, levels), unsaved: false, edits: 0, saving: null};
    byId("size").textContent = `${about.width}×${about.height}`;
    tools.put(current.marks);
    panels.show(pictures, current.marks);
    linkExports();
    tick(index, stored.ever);
    byId("annotate").dataset.ready = "yes";
    byId("annotate").dataset.index = index;
    showState();
  } catch (error) {
    if (turn !== opening || !(await left())) return;
    current = null;
    tools.put(null);
    panels.clear();
    showState();
    say(error.message, "bad");
    byId("annotate").dataset.ready = "failed";
  }
};

const picture = async (index, side) => {
  const answer = await ask(`pictures/${index}/${side}.png`, {cache: "default"});
  // As stored, whatever a screen's or a file's profile says.
  return createImageBitmap(await answer.blob(), {colorSpaceConversion: "none"});
};

const list = async () => {
  const {marked} = await (await ask(`pictures?${new URLSearchParams({annotator})}`)).json();
  marked.forEach((done, at) => tick(at, done));
};

const chooseTool = (kind) => {
  tools.choose(kind);
  byId("close").disabled = kind !== "polygon";
  for (const name of ["brush", "eraser", "polygon"]) byId(name).setAttribute("aria-pressed", String(name === kind));
};

const chooseGrade = (level) => {
  tools.level = Number(level);
  for (const button of document.querySelectorAll("[data-level]")) {
    button.setAttribute("aria-pressed", String(button.dataset.level === String(level)));
  }
  if (tools.kind === "eraser") chooseTool("brush");
};

const showSize = () => { byId("diameter").textContent = `${SIZES[tools.size]} px`; };
const resize = (by) => { tools.resize(by); showSize(); };

const arrange = (beside) => {
  panels.beside = beside;
  byId("output").hidden = !beside;
  byId("annotate").classList.toggle("single", !beside);
  byId("beside").setAttribute("aria-pressed", String(beside));
  panels.resized();
  label();
};

const blink = () => {
  if (panels.beside) {
    arrange(false);
    return;
  }
  panels.swapped = !panels.swapped;
  panels.redraw();
  label();
};

const label = () => {
  byId("left-tag").textContent = panels.beside || !panels.swapped ? "Reference photograph" : "Delivered picture";
  byId("right-tag").hidden = !panels.beside;
};

const hide = () => {
  panels.hidden = !panels.hidden;
  byId("hide").setAttribute("aria-pressed", String(panels.hidden));
  panels.redraw();
};

const pen = () => {
  tools.togglePen();
  byId("pen").setAttribute("aria-pressed", String(tools.pen));
};

const actions = {
  brush: () => chooseTool("brush"), eraser: () => chooseTool("eraser"), polygon: () => chooseTool("polygon"),
  smaller: () => resize(-1), larger: () => resize(1), undo: () => tools.step("undo"), redo: () => tools.step("redo"),
  save: () => save(), previous: () => open(byId("pictures").selectedIndex - 1), next: () => open(byId("pictures").selectedIndex + 1),
  beside: () => arrange(!panels.beside), blink, hide, pen, close: () => tools.close(),
  out: () => panels.zoomTo(panels.place.zoom / 1.5), in: () => panels.zoomTo(panels.place.zoom * 1.5),
  native: () => panels.zoomTo(1), fit: () => panels.fit(),
};
const keys = {
  d: "brush", e: "eraser", g: "polygon", "[": "smaller", "]": "larger", u: "undo", r: "redo", s: "save", p: "previous",
  n: "next", t: "beside", b: "blink", m: "hide", x: "pen", "+": "in", "=": "in", "-": "out", a: "native", f: "fit", Enter: "close",
};
const withControl = {z: "undo", y: "redo", s: "save"};
const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

const pressed = (event) => {
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) return name === "z" && event.shiftKey ? actions.redo : actions[withControl[name]];
  if (event.altKey) return null;
  if (/^[0-9]$/.test(name)) {
    const grades = document.querySelectorAll("[data-level]");
    return () => chooseGrade(grades[(Number(name) + 9) % 10].dataset.level);
  }
  if (name in arrows) {
    const far = event.shiftKey ? 10 : 1;
    return () => tools.arrow(far * arrows[name][0], far * arrows[name][1]);
  }
  if (name === " ") return () => event.repeat || tools.press();
  if (name === "Escape") return () => tools.leave();
  if (name === "Backspace") return () => { panels.corners.pop(); panels.redraw(); };
  return actions[keys[name]];
};

byId("stage").addEventListener("keydown", (event) => {
  const act = pressed(event);
  if (!act || (!current && act !== actions.next && act !== actions.previous)) return;
  event.preventDefault();
  act();
});
byId("stage").addEventListener("keyup", (event) => event.key === " " && current && tools.release());
byId("stage").addEventListener("blur", () => {
  if (tools.pen) pen();
  if (current) tools.end();
});
byId("stage").addEventListener("pointerdown", () => byId("stage").focus());
for (const [name, act] of Object.entries(actions)) {
  byId(name)?.addEventListener("click", (event) => {
    if (current || name === "next" || name === "previous") act();
    // Who clicks goes on with keys; who pressed the button by a key stays on it.
    if (event.detail) byId("stage").focus();
  });
}
for (const button of document.querySelectorAll("[data-level]")) {
  const [red, green, blue] = tintOf(Number(button.dataset.level));
  button.style.borderBottom = `5px solid rgb(${red} ${green} ${blue})`;
  button.addEventListener("click", (event) => {
    chooseGrade(button.dataset.level);
    if (event.detail) byId("stage").focus();
  });
}
byId("pictures").addEventListener("change", () => open(byId("pictures").selectedIndex));
byId("opacity").addEventListener("input", () => {
  panels.opacity = Number(byId("opacity").value) / 100;
  panels.redraw();
});
panels.onDraw = () => { byId("zoom").textContent = `${Math.round(100 * panels.place.zoom)} %`; };

byId("file").addEventListener("change", async () => {
  const [file] = byId("file").files;
  byId("file").value = "";
  if (!file || !current) return;
  const shown = current;
  const asked = new URLSearchParams({format: byId("format").value, name: file.name});
  try {
    const answer = await ask(`pictures/${shown.index}/imported?${asked}`, {method: "PUT", body: file});
    const levels = new Uint8Array(await answer.arrayBuffer());
    if (shown === current) tools.all(levels);
    else say("Not imported: another picture was opened meanwhile", "bad");
  } catch (error) {
    say(`Not imported: ${error.message}`, "bad");
  }
});

byId("take").addEventListener("click", async () => {
  byId("forestalled").close();
  const shown = current;
  try {
    const levels = await shown.stored.load();
    if (shown !== current) return;
    // As one step, so that undoing it gives the own marks back.
    tools.all(levels ?? new Uint8Array(current.marks.levels.length));
    clearTimeout(timer);
    current.unsaved = false;
    showState();
  } catch (error) {
    say(error.message, "bad");
  }
});
byId("replace").addEventListener("click", () => {
  byId("forestalled").close();
  save(true);
});
byId("as-other").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("other").value.trim();
  if (!name) return;
  byId("forestalled").close();
  annotator = name;
  byId("who").textContent = name;
  current.stored = current.stored.as(name);
  linkExports();
  if (await save()) list().catch((error) => say(error.message, "bad"));
});

addEventListener("beforeunload", (event) => current?.unsaved && event.preventDefault());
document.addEventListener("visibilitychange", () => document.hidden && current?.unsaved && !byId("forestalled").open && save());

list().then(() => open(Number(settings.first))).catch((error) => say(error.message, "bad"));
showSize();
label();
byId("stage").focus({preventScroll: true});
