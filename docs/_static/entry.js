/* Coming from the search, show its words in the page, and go to the row of a table that holds them: as they were
   written, or else most of them. The theme loads the search on every page, which keeps Sphinx from showing them. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("#search-results a");
  const query = new URLSearchParams(location.search).get("q");
  if (!link || !query) return;
  const target = new URL(link.href); // in the address, for a page from a file may see what another stored too late
  target.searchParams.set("highlight", query.toLowerCase());
  link.href = target;
}, true);
window.addEventListener("load", () => {
  const searched = new URLSearchParams(location.search).get("highlight");
  if (document.querySelector("#search-results") || !searched) return;
  SphinxHighlight.highlightSearchWords();
  const words = searched.split(/\s+/).filter(Boolean);
  const held = (row) => {
    const text = row.textContent.toLowerCase().replace(/\s+/g, " ");
    return text.includes(words.join(" ")) ? words.length + 1 : words.filter((word) => text.includes(word)).length;
  };
  const rows = [...document.querySelectorAll("article tr")].map((row) => [held(row), row]);
  const [most, best] = rows.sort(([a, one], [b, other]) => b - a || one.textContent.length - other.textContent.length)[0] ?? [];
  if (best && most > words.length / 2 && !location.hash) {
    best.id = "found";
    best.scrollIntoView({ block: "center" });
  }
});
