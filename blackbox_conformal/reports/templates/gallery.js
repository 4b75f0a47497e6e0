// The gallery: order, filter, and how many pictures have which trusted share.

function orders() {
  const share = (card) => card.data.shares[level];
  const loss = (card) => (card.data.losses ? card.data.losses[level] : -1);
  return {
    risk: (one, other) => loss(other) - loss(one),
    least: (one, other) => share(one) - share(other),
    most: (one, other) => share(other) - share(one),
    name: (one, other) => one.name.localeCompare(other.name),
  };
}

function arrange() {
  const words = byId("words").value.trim().toLowerCase();
  const kind = byId("kind").value;
  const kinds = { all: () => true, empty: (card) => card.data.shares[level] === 0 };
  const isOfKind = kinds[kind] ?? ((card) => card.kind === kind);
  const fits = (card) => card.name.toLowerCase().includes(words) && isOfKind(card);
  const ordered = byId("order").value === "given" ? cards : [...cards].sort(orders()[byId("order").value]);
  const shown = ordered.filter(fits);
  for (const card of cards) card.element.hidden = !shown.includes(card);
  const now = [...document.querySelectorAll(".card")];
  // Moved only where the order is another one, since a moved picture loses the keyboard's place.
  const wanted = ordered.map((card) => card.element);
  if (wanted.some((element, place) => element !== now[place])) byId("cards").append(...wanted);
  byId("found").textContent = `${shown.length} of ${cards.length} pictures`;
  drawHistogram(shown);
}

function drawHistogram(shown) {
  const bars = [...byId("histogram").querySelectorAll("rect")];
  const counts = bars.map(() => 0);
  for (const card of shown) counts[Math.min(Math.floor(bars.length * card.data.shares[level]), bars.length - 1)] += 1;
  const height = Number(byId("histogram").dataset.height), most = Math.max(...counts, 1);
  bars.forEach((bar, index) => {
    const length = (height * counts[index]) / most;
    bar.setAttribute("y", height - length);
    bar.setAttribute("height", length);
    bar.querySelector("title").textContent = `${counts[index]} pictures`;
  });
}

if (cards.length) {
  for (const id of ["words", "kind", "order"]) byId(id).addEventListener("input", arrange);
}
show();
