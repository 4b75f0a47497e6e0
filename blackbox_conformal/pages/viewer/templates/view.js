// The viewer over a run folder: an index of all pictures, a list that holds the cards on the screen alone, one viewer.

let shares = new Float32Array(0), losses = new Float32Array(0), cards = [], shown = [], side = 1;
const mixedTitle = "safe picture";
const viewer = makeViewer(pictureOpened, report);
const list = byId("cards");

const shownCards = () => shown;

async function begin() {
  const index = await (await fetched("pictures")).json();
  side = index.side;
  await takeStop(level);
  cards = index.pictures.map((row, number) => makePicture(number, row));
  // Those that were masked since the server began come last in its tables.
  const place = (card) => (card.kind === "result" ? 0 : 1);
  cards.sort((one, other) => place(one) - place(other) || (one.name > other.name) - (one.name < other.name));
  show();
  document.body.dataset.ready = "yes";
  if (shown.length) await showPicture(shown[0], false);
}

async function takeStop(stop) {
  const numbers = new Float32Array(await (await fetched(`stops/${stop}`)).arrayBuffer());
  // The slider may have moved on meanwhile.
  if (stop === level) [shares, losses] = [numbers.subarray(0, numbers.length / 2), numbers.subarray(numbers.length / 2)];
}

function show() {
  viewer.levelChanged();
  arrange();
}

slider.addEventListener("input", async () => {
  level = Number(slider.value);
  sayLevel(stops.shares[level]);
  viewer.levelChanged();
  sayFiles();
  await takeStop(level).then(arrange, report);
});

function report(problem) {
  if (problem.message === "closed") return;
  byId("trouble").textContent = problem.message;
  byId("trouble").hidden = false;
}

// ---- the picture that is open ----

let opened = null;
async function showPicture(card, look) {
  await viewer.open(card, look).catch(report);
}

function pictureOpened(card) {
  opened = card;
  byId("trouble").hidden = true;
  byId("about").textContent = [
    card.kind === "audit" ? "Audit photograph, truth known." : "Masked picture, truth unknown.",
    `${card.width}×${card.height} pixels, all of them here.`,
    ...(card.noted ? [] : card.notes),
  ].join(" ");
  byId("outside").hidden = !card.outside;
  for (const element of list.children) mark(element);
  sayFiles();
}

const mark = (element) => element.toggleAttribute("data-open", opened !== null && element.dataset.stem === opened.stem);

// A certificate is for one level: it is never shown as that of another one.
function sayCertificate() {
  const all = opened.certificates, here = all.filter((one) => one.stop === level || one.stop === null);
  const said = here.map((one) => `Certificate of the mask at alpha = ${one.alpha}: ${one.text}`);
  if (all.length && !all.some((one) => one.stop === level)) {
    const levels = all.map((one) => one.alpha).join(", ");
    said.unshift(`The mask shown, at alpha = ${stops.labels[level]}, has no certificate; there is one at alpha = ${levels}.`);
  }
  byId("certificate").textContent = said.join(" ");
}

function sayFiles() {
  if (!opened) return;
  sayCertificate();
  for (const kind of ["mask", "safe"]) byId(`save-${kind}`).href = `pictures/${opened.stem}/${kind}/${level}`;
  byId("save-safe").hidden = !opened.kinds.includes("low");
}

// ---- the list ----

const GAP = 12;
let there = new Map(), columns = 1, pitch = 1, tall = 1;

function layOut(_, wanted) {
  shown = wanted;
  measure();
}

function measure() {
  const wide = list.clientWidth;
  columns = Math.max(2, Math.floor((wide + GAP) / (220 + GAP)));
  pitch = (wide + GAP) / columns;
  tall = Math.round(0.8 * pitch) + 64;
  list.style.height = `${Math.ceil(shown.length / columns) * tall}px`;
  fillWindow();
}

function fillWindow() {
  const top = -list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / tall) - 2) * columns;
  const last = Math.min(shown.length, (Math.ceil((top + innerHeight) / tall) + 2) * columns);
  const wanted = new Map();
  for (let place = first; place < last; place += 1) wanted.set(shown[place], place);
  for (const [card, element] of there) {
    // What has the focus stays: the keyboard goes on from there.
    if (wanted.has(card) || element.contains(document.activeElement)) continue;
    element.remove();
    there.delete(card);
  }
  for (const [card, place] of wanted) {
    if (!there.has(card)) there.set(card, makeElement(card));
    put(card, there.get(card), place);
  }
  inOrder();
}

function put(card, element, place) {
  element.dataset.place = place;
  element.setAttribute("aria-posinset", place + 1);
  element.setAttribute("aria-setsize", shown.length);
  element.style.left = `${(place % columns) * pitch}px`;
  element.style.top = `${Math.floor(place / columns) * tall}px`;
  element.style.width = `${pitch - GAP}px`;
  element.style.height = `${tall - GAP}px`;
  element.querySelector(".share").textContent = trustedWords(card);
  const loss = card.loss();
  const error = card.share() > 0 ? `error up to ${loss?.toFixed(3)}` : "";
  element.querySelector(".loss").textContent = loss === null ? "truth unknown" : error;
  paint(card, element);
}

// Tab goes through the cards in their order.
function inOrder() {
  const ordered = [...there.values()].sort((one, other) => one.dataset.place - other.dataset.place);
  ordered.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
}

function makeElement(card) {
  const element = byId("card").content.firstElementChild.cloneNode(true);
  element.dataset.stem = card.stem;
  element.dataset.name = card.name;
  element.querySelector(".name").textContent = element.querySelector("h3").title = card.name;
  const button = element.querySelector("button");
  button.setAttribute("aria-label", `Show ${card.name} in the viewer`);
  button.addEventListener("click", () => showPicture(card, true));
  const picture = element.querySelector("img");
  picture.src = `pictures/${card.stem}/thumbnail`;
  const block = Math.max(1, Math.ceil(Math.max(card.width, card.height) / side));
  const canvas = element.querySelector("canvas");
  [canvas.width, canvas.height] = [Math.ceil(card.width / block), Math.ceil(card.height / block)];
  [picture.width, picture.height] = [canvas.width, canvas.height];
  codesFor(card, element, canvas);
  mark(element);
  return element;
}

async function codesFor(card, element, canvas) {
  try {
    const bytes = await (await fetched(`pictures/${card.stem}/thumbnail-stops`)).arrayBuffer();
    if (bytes.byteLength === canvas.width * canvas.height) element.codes = new Uint8Array(bytes);
    paint(card, element);
  } catch (problem) {
    element.querySelector(".share").title = problem.message;
    element.dataset.ready = "no";
  }
}

function paint(card, element) {
  if (!element.codes || element.dataset.stop === String(level)) return;
  paintVeil(element.querySelector("canvas"), element.codes, level, [6, 1]);
  element.dataset.stop = String(level);
  element.dataset.ready = "yes";
}

let scrolling = false;
function later() {
  if (scrolling) return;
  scrolling = true;
  requestAnimationFrame(() => { scrolling = false; fillWindow(); });
}
addEventListener("scroll", later, { passive: true });
new ResizeObserver(() => requestAnimationFrame(measure)).observe(list);
document.documentElement.classList.remove("still");
begin().catch(report);
