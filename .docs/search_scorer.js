// Order of search results: pages that explain before the reference, and classes and functions before their attributes.
const GUIDE = /^(index|install|faq|glossary|user_guide\/|learn\/|generated\/gallery\/plot_tutorial)/;

var Scorer = {
  score: ([docName, title, anchor, description, score]) => {
    if (GUIDE.test(docName)) return score + 8;
    return /attribute|property|method/.test(description || "") ? score - 20 : score;
  },
  // the values below are the defaults of Sphinx
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
