/* Coming from the search, show its words in the page, and go to the row of a table that holds most of them.
   The theme loads the search on every page, which keeps Sphinx from showing them by itself. */
window.addEventListener("load", () => {
  const searched = localStorage.getItem("sphinx_highlight_terms");
  if (!searched || document.querySelector("#search-results")) return;
  SphinxHighlight.highlightSearchWords();
  const terms = searched.toLowerCase().split(/\s+/);
  const held = (row) => terms.filter((term) => row.textContent.toLowerCase().includes(term)).length;
  const rows = [...document.querySelectorAll("article tr")].filter(held);
  const best = rows.sort((a, b) => held(b) - held(a) || a.textContent.length - b.textContent.length)[0];
  if (best && !location.hash) {
    best.id = "found";
    best.scrollIntoView({ block: "center" });
  }
});
