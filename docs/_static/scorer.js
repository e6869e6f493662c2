/* Who copies the words of an error into the search wants its mend: among pages that merely hold the words,
   Troubleshooting comes first. Pages with the words in their titles stay before it. */
var Scorer = {
  score: ([page, , , , score]) => (page === "troubleshooting" ? score + 12 : score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
