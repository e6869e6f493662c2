/* Coming from the search, show its words in the page, and go to the row of a table that holds them: as they were
   written, or else most of them. The theme loads the search on every page, which keeps Sphinx from showing them. */
window.addEventListener("load", () => {
  const query = new URLSearchParams(location.search).get("q");
  if (document.querySelector("#search-results")) {
    if (query) localStorage.setItem("searched", query.toLowerCase());
    return;
  }
  const searched = localStorage.getItem("searched");
  if (!searched || !localStorage.getItem("sphinx_highlight_terms")) return;
  localStorage.removeItem("searched");
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
