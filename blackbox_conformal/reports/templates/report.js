// The report: the level slider and the pictures that it masks.

const byId = (id) => document.getElementById(id);
const stops = JSON.parse(byId("stops").textContent);
const slider = byId("alpha");
let level = Number(slider.value);
const cards = [...document.querySelectorAll(".card")].map(makeCard);
const viewer = cards.length ? makeViewer() : null;

function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return share >= 0.9995 && share < 1 ? "> 99.9 %" : (100 * share).toFixed(1) + " %";
}

async function unpack(text, width) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const codes = new Uint8Array(await new Response(stream).arrayBuffer());
  for (let i = width; i < codes.length; i += 1) codes[i] += codes[i - width];
  return codes;
}

function makeCard(element) {
  const script = element.querySelector("script");
  const data = JSON.parse(script.textContent);
  script.textContent = "";
  const find = (selector) => element.querySelector(selector);
  const card = { element, data, first: null, errors: null, painted: -1, visible: false };
  card.name = element.dataset.name;
  card.kind = element.dataset.kind;
  card.canvas = find("canvas");
  card.delivered = find("img.delivered");
  card.share = find(".share");
  card.loss = find(".loss");
  for (const place of [find(".stage"), find("button")]) place.addEventListener("click", () => viewer.open(card, true));
  return card;
}

// Every picture's codes are unpacked at once, so that printing, which waits for nothing, finds them.
async function unpackAll() {
  for (const card of cards) {
    card.first = await unpack(card.data.first, card.data.width);
    card.data.first = "";
    if (card.visible) paintCard(card);
  }
}

function paintCard(card) {
  if (!card.first || card.painted === level) return;
  const { canvas, data } = card;
  canvas.width = data.width;
  canvas.height = data.height;
  paintVeil(canvas, card.first, level, data.pattern);
  card.painted = level;
  card.element.dataset.stop = String(level);
  card.element.dataset.ready = "yes";
}

function show() {
  byId("now-alpha").textContent = stops.labels[level];
  byId("now-threshold").textContent = stops.thresholds[level];
  byId("now-share").textContent = stops.shares ? percent(stops.shares[level]) : "–";
  byId("now-statement").textContent = stops.statements[level];
  slider.setAttribute("aria-valuetext", `alpha ${stops.labels[level]}`);
  for (const line of document.querySelectorAll("line.now")) {
    const box = line.ownerSVGElement.dataset;
    const share = (stops.alphas[level] - Number(box.x0)) / (Number(box.x1) - Number(box.x0));
    const x = Number(box.left) + Math.min(Math.max(share, 0), 1) * (Number(box.right) - Number(box.left));
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  for (const card of cards) {
    card.share.textContent = percent(card.data.shares[level]) + " trusted";
    if (card.loss && card.data.losses) card.loss.textContent = card.data.losses[level].toFixed(3);
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
