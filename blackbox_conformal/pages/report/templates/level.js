// The level: where the slider stands, and what is said of it.

const byId = (id) => document.getElementById(id);
const stops = JSON.parse(byId("stops").textContent);
const slider = byId("alpha");
let level = Number(slider.value);

function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return share >= 0.9995 && share < 1 ? "> 99.9 %" : (100 * share).toFixed(1) + " %";
}

// Where nothing is trusted no error is, which must not read as a perfect picture.
const trustedWords = (card) => (card.share() > 0 ? `${percent(card.share())} trusted` : "nothing trusted");

function sayLevel(share) {
  byId("now-alpha").textContent = stops.labels[level];
  byId("now-threshold").textContent = stops.thresholds[level];
  byId("now-share").textContent = share === null ? "–" : percent(share);
  byId("now-statement").textContent = stops.statements[level];
  slider.setAttribute("aria-valuetext", `alpha ${stops.labels[level]}`);
}
