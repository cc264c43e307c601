// What is folded is open on paper.
for (const [event, open] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    const selector = open ? "details:not([open])" : "details[data-printed]";
    for (const fold of document.querySelectorAll(selector)) {
      fold.open = open;
      fold.toggleAttribute("data-printed", open);
    }
  });
}
