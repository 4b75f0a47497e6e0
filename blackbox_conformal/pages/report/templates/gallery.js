// The gallery: order, filter, and how many pictures have which trusted share.

function orders() {
  const loss = (card) => card.loss() ?? -1;
  return {
    risk: (one, other) => loss(other) - loss(one),
    least: (one, other) => one.share() - other.share(),
    most: (one, other) => other.share() - one.share(),
    name: (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }),
  };
}

function arrange() {
  const words = byId("words").value.trim().toLowerCase();
  const kind = byId("kind").value;
  const kinds = { all: () => true, empty: (card) => card.share() === 0 };
  const isOfKind = kinds[kind] ?? ((card) => card.kind === kind);
  const fits = (card) => card.name.toLowerCase().includes(words) && isOfKind(card);
  const ordered = byId("order").value === "given" ? cards : [...cards].sort(orders()[byId("order").value]);
  const shown = ordered.filter(fits);
  layOut(ordered, shown);
  byId("found").textContent = `${shown.length} of ${cards.length} pictures`;
  drawHistogram(shown);
}

function drawHistogram(shown) {
  const bars = [...byId("histogram").querySelectorAll("rect")];
  const counts = bars.map(() => 0);
  for (const card of shown) counts[Math.min(Math.floor(bars.length * card.share()), bars.length - 1)] += 1;
  const height = Number(byId("histogram").dataset.height), most = Math.max(...counts, 1);
  bars.forEach((bar, index) => {
    const length = (height * counts[index]) / most;
    bar.setAttribute("y", height - length);
    bar.setAttribute("height", length);
    bar.querySelector("title").textContent = `${counts[index]} pictures`;
  });
}

for (const id of ["words", "kind", "order"]) byId(id)?.addEventListener("input", arrange);
