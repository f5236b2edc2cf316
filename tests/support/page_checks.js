// What can be checked of a page without knowing what it is about. Gives a list of sentences; none for a good page.
(() => {
  const wrong = [];
  const where = (one) => `${one.tagName.toLowerCase()}${one.id ? `#${one.id}` : ""}${one.className && typeof one.className === "string" ? `.${one.className.trim().replaceAll(" ", ".")}` : ""} "${one.textContent.trim().slice(0, 40)}"`;
  const say = (one, words) => wrong.push(`${where(one)}: ${words}`);
  const all = (selector) => [...document.querySelectorAll(selector)];

  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) {
    const wide = all("body *").filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".wide"));
    wrong.push(`the page is ${page.scrollWidth} wide in a window of ${innerWidth}: ${wide.slice(0, 3).map(where)}`);
  }
  if (!page.lang) wrong.push("no language");
  if (!document.title) wrong.push("no title");
  for (const kind of ["main", "h1"]) if (all(kind).length !== 1) wrong.push(`${all(kind).length} ${kind}`);
  const ids = all("[id]").map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) wrong.push(`id ${id} twice`);
  let level = 0;
  for (const one of all("h1, h2, h3, h4, h5, h6")) {
    if (Number(one.tagName[1]) > level + 1) say(one, `a level is left out after h${level}`);
    level = Number(one.tagName[1]);
    if (!one.textContent.trim()) say(one, "an empty heading");
  }
  for (const one of all("th")) if (!one.scope) say(one, "no scope");
  for (const one of all("table")) if (!one.caption) say(one, "no caption");
  for (const one of all("img")) if (!one.alt) say(one, "no alt");
  for (const one of all("svg")) if (one.closest("[aria-hidden]") === null && !one.getAttribute("aria-labelledby") && !one.parentElement.closest("svg")) say(one, "no name");
  for (const name of ["aria-labelledby", "aria-describedby"])
    for (const one of all(`[${name}]`)) for (const id of one.getAttribute(name).split(" ")) if (!document.getElementById(id)) say(one, `${name} names ${id}, which is not there`);
  for (const one of all('a[href^="#"]')) if (!document.getElementById(one.hash.slice(1))) say(one, "leads nowhere");
  for (const one of all("a, button, summary")) if (!one.textContent.trim()) say(one, "no words");
  for (const one of all("input, select")) if (!one.labels.length) say(one, "no label");
  for (const one of all('[role="region"]')) if (!one.getAttribute("aria-label") && !one.getAttribute("aria-labelledby")) say(one, "a region without a name");
  for (const one of all("*")) {
    const sideways = getComputedStyle(one).overflowX;
    if (one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(sideways) && one.tabIndex < 0) say(one, "scrolls, and no key gets there");
  }

  // Contrast of every text with what lies behind it (WCAG 2.2, 1.4.3).
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (front, back) => ({ r: front.r * front.a + back.r * (1 - front.a), g: front.g * front.a + back.g * (1 - front.a), b: front.b * front.a + back.b * (1 - front.a), a: 1 });
  const light = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const behind = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((back, front) => over(front, back), parse(getComputedStyle(document.body).backgroundColor));
  };
  let least = Infinity;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !one.checkVisibility() || one.closest("svg, script, style, option")) continue;
    const style = getComputedStyle(one);
    const back = behind(one);
    const [dark, bright] = [light(over(parse(style.color), back)), light(back)].sort((x, y) => x - y);
    const ratio = (bright + 0.05) / (dark + 0.05);
    least = Math.min(least, ratio);
    if (ratio < 4.5) say(one, `contrast ${ratio.toFixed(2)}: ${style.color} on ${JSON.stringify(back)}`);
    if (parseFloat(style.fontSize) < 12) say(one, `letters of ${style.fontSize}`);
  }
  // Plots bring their own paper.
  for (const one of all("svg.cudawheel-timeline text")) {
    const paper = one.closest("svg.cudawheel-timeline").querySelector(".paper");
    if (!one.checkVisibility() || one.closest(".unit")) continue;
    const back = parse(getComputedStyle(paper).fill);
    const [dark, bright] = [light(parse(getComputedStyle(one).fill)), light(back)].sort((x, y) => x - y);
    const ratio = (bright + 0.05) / (dark + 0.05);
    least = Math.min(least, ratio);
    if (ratio < 4.5) say(one, `contrast ${ratio.toFixed(2)} in a plot`);
  }
  return { wrong, least };
})()
