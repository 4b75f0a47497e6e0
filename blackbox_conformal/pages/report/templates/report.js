// The report: the pictures that the level slider masks, all of them inside the page.

const mixedTitle = "trusted, else plain enlargement";
const cards = [...document.querySelectorAll(".card")].map(makeCard);
const viewer = cards.length ? makeViewer() : null;

function unpack(text, width) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return inflate(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")), width);
}

function makeCard(element) {
  const script = element.querySelector("script");
  const data = JSON.parse(script.textContent);
  script.textContent = "";
  const find = (selector) => element.querySelector(selector);
  const card = { element, data, first: null, painted: -1, visible: false, marks: null, pictures: {} };
  card.name = element.dataset.name;
  card.kind = element.dataset.kind;
  card.noted = [...element.querySelectorAll(".noted")].map((line) => line.textContent).join(" ");
  [card.width, card.height, card.block, card.hasErrors] = [data.width, data.height, data.block, Boolean(data.errors)];
  card.kinds = ["delivered", ...["low", "truth"].filter((kind) => data[kind]), ...(data.low && stops.enlarged ? ["plain"] : [])];
  card.differing = data.differing;
  card.hasClasses = card.dotted = Boolean(data.added);
  card.share = () => data.shares[level];
  card.loss = () => (data.losses ? data.losses[level] : null);
  card.open = () => openCard(card);
  card.close = () => {};
  card.picture = (kind) => (card.pictures[kind] ??= picture(card, kind));
  card.safe = () => safePicture(card);
  card.canvas = find("canvas");
  card.delivered = find("img.delivered");
  [card.shareText, card.lossText] = [find(".share"), find(".loss")];
  for (const place of [find(".stage"), find("button")]) place.addEventListener("click", () => viewer.open(card, true));
  return card;
}

// Every picture's codes are unpacked at once, so that printing, which waits for nothing, finds them.
async function unpackAll() {
  for (const card of cards) {
    card.first = await unpack(card.data.first, card.data.width);
    card.data.first = "";
    card.added = card.data.added ? await unpack(card.data.added, card.data.width) : null;
    if (card.visible) paintCard(card);
  }
}

// What the viewer needs of a picture before it shows it.
async function openCard(card) {
  await unpacked;
  if (card.marks) return;
  const { data, first, width } = card;
  const marks = makeMarks(first, data.errors ? await unpack(data.errors, width) : null, width);
  card.marks = { ...marks, image: (request) => marks.image({ ...request, added: card.added }) };
}

const webp = (text) => "data:image/webp;base64," + text;

async function load(source) {
  const picture = new Image();
  picture.src = source;
  await picture.decode();
  return picture;
}

async function picture(card, kind) {
  if (kind === "plain") return enlarged(await card.picture("low"), card.width, card.height);
  return load(kind === "delivered" ? card.delivered.src : webp(card.data[kind]));
}

function enlarged(low, width, height) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(low, 0, 0, width, height);
  return canvas;
}

// The delivered pixels where they are trusted, plain enlargement of the input elsewhere.
async function safePicture(card) {
  const { width, height } = card;
  const low = await card.picture("low"), delivered = await card.picture("delivered");
  const safe = enlarged(low, width, height), trusted = new OffscreenCanvas(width, height);
  const context = trusted.getContext("2d", { willReadFrequently: true });
  context.drawImage(delivered, 0, 0);
  const image = context.getImageData(0, 0, width, height);
  for (let i = 0; i < card.first.length; i += 1) if (card.first[i] > level) image.data[4 * i + 3] = 0;
  context.putImageData(image, 0, 0);
  safe.getContext("2d").drawImage(trusted, 0, 0);
  return safe;
}

function shownCards() {
  const elements = [...document.querySelectorAll(".card:not([hidden])")];
  return elements.map((element) => cards.find((one) => one.element === element));
}

// Moved only where the order is another one, since a moved picture loses the keyboard's place.
function layOut(ordered, shown) {
  for (const card of cards) card.element.hidden = !shown.includes(card);
  const now = [...document.querySelectorAll(".card")];
  const wanted = ordered.map((card) => card.element);
  if (wanted.some((element, place) => element !== now[place])) byId("cards").append(...wanted);
}

function paintCard(card) {
  if (!card.first || card.painted === level) return;
  const { canvas, data } = card;
  canvas.width = data.width;
  canvas.height = data.height;
  paintVeil(canvas, card.first, level, data.pattern, card.added);
  card.painted = level;
  card.element.dataset.stop = String(level);
  card.element.dataset.ready = "yes";
}

function show() {
  sayLevel(stops.shares ? stops.shares[level] : null);
  for (const line of document.querySelectorAll("line.now")) {
    const box = line.ownerSVGElement.dataset;
    const share = (stops.alphas[level] - Number(box.x0)) / (Number(box.x1) - Number(box.x0));
    const x = Number(box.left) + Math.min(Math.max(share, 0), 1) * (Number(box.right) - Number(box.left));
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  for (const card of cards) {
    card.shareText.textContent = trustedWords(card);
    if (card.lossText) {
      card.lossText.textContent = card.loss().toFixed(3);
      card.lossText.parentElement.hidden = !card.share();
    }
    if (card.visible) paintCard(card);
  }
  if (viewer) viewer.levelChanged();
  if (cards.length) arrange();
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cards.find((candidate) => candidate.element === entry.target);
    card.visible = entry.isIntersecting;
    if (card.visible) paintCard(card);
  }
}, { rootMargin: "400px" });
for (const card of cards) watcher.observe(card.element);

const unpacked = unpackAll();
let waiting = false;
slider.addEventListener("input", async () => {
  // Until then the pictures show the level that the page opened at, and the words must say the same.
  await unpacked;
  level = Number(slider.value);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; show(); });
});

// On a small screen pictures and guarantee come first, and the rest opens where it is wanted.
const small = matchMedia("(max-width: 34rem)").matches;
for (const part of document.querySelectorAll(".part")) part.open = !small;
for (const link of document.querySelectorAll("a[href='#errors']")) {
  link.addEventListener("click", () => { byId("errors").closest("details").open = true; });
}

let closed = [];
window.addEventListener("beforeprint", () => {
  show();
  for (const picture of document.querySelectorAll("img")) picture.loading = "eager";
  for (const card of cards) paintCard(card);
  closed = [...document.querySelectorAll("details:not(.long):not([open])")];
  for (const details of closed) details.open = true;
});
window.addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
byId("print").addEventListener("click", () => window.print());
document.documentElement.classList.remove("still");
if (viewer) viewer.open(cards[0], false);
show();
