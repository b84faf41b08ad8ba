
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const data = JSON.parse(byId("data").textContent);
  const charts = JSON.parse(byId("charts").textContent);
  root.classList.add("js");

  function make(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }
  const keyOf = (teacher) =>
    make("span", { class: "key " + data.colours[teacher], "aria-hidden": "true" }, data.glyphs[teacher]);

  // As Python writes them: fixed decimals, six digits from 1,000 on.
  function number(value, digits = 4) {
    if (value === null || value === undefined || Number.isNaN(value)) return "undefined";
    if (Math.abs(value) >= 1000) {
      const before = Math.floor(Math.log10(Math.abs(value))) + 1;
      digits = Math.min(digits, Math.max(0, 6 - before));
    }
    const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return Number(value.toFixed(digits)) === 0 ? text.replace("-", "") : text;
  }
  const stepNumber = (value) => number(value, value === 0 || Math.abs(value) >= 0.1 ? 2 : 4);
  const counted = (count, noun) => `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
  const windowName = (name) => (name === "global" ? "global" : `window ${name}`);

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  // ---------------------------------------------------------------- the list of prompts

  const ROW = 44;
  const panel = byId("traces"), list = byId("prompt-list"), holder = byId("prompt-rows");
  const details = byId("step-details"), trace = byId("trace");
  const idle = details.textContent;
  let prompts = null;
  let order = [];
  let sort = "lead";
  let current = -1;
  let opened = 0;
  let view = data.views.find((one) => one.name === data.view) || data.views[0];
  let correctOnly = false;

  const falling = (values) => (a, b) =>
    (values[b] === null ? -Infinity : values[b]) - (values[a] === null ? -Infinity : values[a]) || a - b;
  const placeOf = (row) => (prompts.place ? prompts.place[row] : row);

  const winnersOf = (row) => (prompts.tied[row].length ? prompts.tied[row] : prompts.winner[row] < 0 ? [] : [prompts.winner[row]]);

  function arrange() {
    const query = byId("search").value.trim().toLowerCase();
    const winner = byId("filter-winner").value, correct = byId("filter-correct").value;
    order = [];
    for (let row = 0; row < prompts.id.length; row += 1) {
      if (winner !== "" && !winnersOf(row).includes(Number(winner))) continue;
      if (correct === "all" ? prompts.all_correct[row] !== "y" : correct && prompts.correct[row] !== correct) continue;
      if (query && !prompts.id[row].toLowerCase().includes(query)
        && !(prompts.text && prompts.text[row].toLowerCase().includes(query))) continue;
      if (sort === "apart" && !(prompts.apart[row] > 0)) continue;
      order.push(row);
    }
    if (sort === "lead") order.sort(falling(prompts.lead));
    if (sort === "apart") order.sort(falling(prompts.apart));
    const shared = order.filter((row) => prompts.tied[row].length).length;
    byId("list-count").textContent = (sort === "apart"
      ? `${counted(order.length, "prompt")} on which local and global have other winners`
      : `${order.length.toLocaleString("en-US")} of ${counted(prompts.id.length, "prompt")}`)
      + (shared ? `, ${shared.toLocaleString("en-US")} of them tied` : "");
    holder.style.height = `${order.length * ROW}px`;
    list.scrollTop = 0;
    paint();
  }

  // Only the rows in sight are in the page: there may be 100,000.
  function paint() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(order.length, first + Math.ceil(list.clientHeight / ROW) + 9);
    const values = sort === "apart" ? prompts.apart : prompts.lead;
    const largest = order.length ? Math.max(1e-12, largestOf(values)) : 1;
    const rows = [];
    for (let at = first; at < last; at += 1) {
      const row = order[at], winner = prompts.winner[row], value = values[row];
      const bar = make("span", { class: `bar ${winner < 0 ? "" : data.colours[winner]}` });
      bar.style.width = `${value === null ? 0 : Math.max(4, (100 * value) / largest)}%`;
      const best = winnersOf(row);
      const name = best.length ? best.map((each) => data.teachers[each]).join(" = ") : "no winner";
      const text = (prompts.text && prompts.text[row]) || prompts.id[row];
      const option = make(
        "div",
        {
          role: "option", id: `option-${row}`, class: "option", "aria-selected": String(row === current),
          "aria-posinset": at + 1, "aria-setsize": order.length, "data-row": row,
          title: `${prompts.id[row]}: ${name}, ${sort === "apart" ? "disagreement" : "lead"} ${number(value)}`,
        },
        make("span", { class: "name" },
          make("span", { class: "text" }, ...(best.length ? best.slice(0, 3).map(keyOf) : ["–"]), " ", text),
          make("span", { class: "small" }, `${prompts.id[row]} · ${best.length > 1 ? "tied" : number(value, 3)}`)),
        make("span", { class: "track" }, bar),
        make("span", { class: "sr" }, ` ${name}`),
      );
      option.style.top = `${at * ROW}px`;
      rows.push(option);
    }
    holder.replaceChildren(...rows);
    const active = current >= 0 && order.includes(current) ? `option-${current}` : null;
    if (active) list.setAttribute("aria-activedescendant", active);
    else list.removeAttribute("aria-activedescendant");
  }
  const largestOf = (values) => values.reduce((most, value) => (value > most ? value : most), 0);

  function reveal(at) {
    const top = at * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  // ---------------------------------------------------------------- one prompt

  const meansOf = (one, name) => {
    if (name !== data.difference) return one.scores[name] || null;
    const whole = one.scores.global, local = one.scores[data.local];
    if (!whole || !local) return null;
    return whole.map((value, i) => (value === null || local[i] === null ? null : value - local[i]));
  };
  function shade(value) {
    if (value === null || value === undefined || !view.edges.length) return "u";
    let level = 0;
    while (level < view.edges.length && value >= view.edges[level]) level += 1;
    return `s${level}`;
  }

  function describe(one, step) {
    const figures = data.windows.map((name) => {
      const value = one.scores[name] ? one.scores[name][step] : null;
      return `${windowName(name)} ` + (value === null ? `undefined (${one.why[name]})` : stepNumber(value));
    });
    const apart = data.local === "global" ? null : meansOf(one, data.difference);
    if (apart && apart[step] !== null) figures.push(`global minus window ${data.local} ${stepNumber(apart[step])}`);
    const heading = `step ${step + 1} of ${one.n_steps}, ${counted(one.tokens[step], "token")}`;
    return `${heading}: ${figures.join("; ")}`;
  }

  function article(one, several) {
    const name = data.teachers[one.teacher] + (several ? `, sample ${one.sample}` : "");
    const [label, value, why] = one.values[0];
    const right = one.correct === null ? "not known whether correct" : one.correct ? "✓ correct" : "✗ wrong";
    const steps = make("div", { class: "steps", role: "list", dir: "auto", "aria-label": `Steps, ${name}` });
    one.steps.forEach((text, i) => {
      const span = make("span", { role: "listitem", tabindex: i ? "-1" : "0", "data-step": i });
      // Tags are read and not scored: every second piece.
      span.append(...(one.tags[i] || [text]).map((piece, at) => (at % 2 ? make("span", { class: "tag" }, piece) : piece)));
      steps.append(span);
    });
    const words = ([key, figure, reason]) => `${key} ${figure === null ? `undefined (${reason})` : number(figure)}`;
    const others = make("details", {}, make("summary", {}, "Its other scores"),
      make("ul", {}, ...one.values.slice(1).map((each) => make("li", {}, words(each)))));
    const section = make("section", { class: "response", "aria-label": name },
      make("header", {}, make("h4", {}, keyOf(one.teacher), " ", name),
        make("p", { class: "why", title: label },
          `${value === null ? `undefined (${why})` : number(value, 3)} · ${counted(one.n_steps, "step")} · ${counted(one.n_tokens, "token")} · ${right}`),
        ...(one.steps.length < one.n_steps ? [make("p", { class: "why cut" }, `The first ${one.steps.length.toLocaleString("en")} steps; the other ${(one.n_steps - one.steps.length).toLocaleString("en")} are not shown.`)] : [])),
      steps, make("details", { class: "extremes" }), others);
    section.response = one;
    return section;
  }

  function colour() {
    for (const section of trace.querySelectorAll(".response")) {
      const one = section.response, means = meansOf(one, view.name);
      section.querySelectorAll(".steps > span").forEach((span, i) => { span.className = shade(means ? means[i] : null); });
      const known = means ? [...means.keys()].filter((i) => means[i] !== null).sort((a, b) => means[a] - means[b]) : [];
      const most = Math.min(3, Math.floor(known.length / 2));
      const listOf = (title, found) => [make("h5", {}, title), make("ul", {}, ...found.map((step) =>
        make("li", {}, `${number(means[step])}, step ${step + 1}: `,
          make("button", { type: "button", class: "link", "data-go": step }, snippet(one.steps[step])))))];
      section.querySelector(".extremes").replaceChildren(make("summary", {}, "Its lowest and highest steps"),
        ...(most ? [...listOf("Lowest", known.slice(0, most)), ...listOf("Highest", known.slice(-most).reverse())]
          : [make("p", { class: "why" }, "Undefined: fewer than two steps have a score.")]));
      section.hidden = correctOnly && one.correct !== true;
    }
    for (const button of panel.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view.name));
    }
    byId("legend-text").textContent = view.name === data.difference
      ? `A step is shaded by global minus window ${data.local}, in nats per token: higher gains more from the whole trace. The shares are of all steps.`
      : `A step is shaded by its mean log-probability under ${windowName(view.name)}, in nats per token: higher is more natural to the student. The shares are of all steps.`;
    byId("legend").replaceChildren(
      ...view.legend.map(([name, words, scores]) => make("li", {}, make("span", { class: name }, words), ` ${scores}`)),
      make("li", {}, make("span", { class: "u" }, "no score"), " undefined"));
  }
  function snippet(text) {
    const plain = text.slice(0, 280).split(/\s+/).join(" ").trim();
    return plain ? (plain.length > 70 ? `${plain.slice(0, 69)}…` : plain) : "(white space)";
  }

  // Opens a row of the list. Two may be asked for at once: the last one counts.
  async function open(row, { teacher = null, keep = false } = {}) {
    current = row;
    opened += 1;
    const mine = opened, place = placeOf(row), id = prompts.id[row];
    const at = order.indexOf(row);
    if (at >= 0) reveal(at);
    paint();
    hush();
    if (!keep) history.replaceState(null, "", `#p=${encodeURIComponent(id.toWellFormed ? id.toWellFormed() : id)}`);
    const heading = make("h3", { tabindex: "-1" }, `Prompt ${id}`);
    if (!byId(`trace-${place}`)) {
      trace.replaceChildren(heading, make("p", {}, (prompts.text && prompts.text[row]) || ""),
        make("p", { class: "why" }, "Its traces are not in this file, which is kept small. More are with ", make("code", {}, `lnat report OUT ${data.more}`), "."));
      return true;
    }
    const found = await unpack(`trace-${place}`);
    if (mine !== opened) return false;
    const samples = {};
    for (const one of found.responses) samples[one.teacher] = (samples[one.teacher] || 0) + 1;
    const text = make("div", { class: "prompt-text", tabindex: "0", role: "region", "aria-label": "The prompt" });
    text.textContent = found.prompt;
    const side = make("div", { class: found.responses.length > 4 ? "side-by-side many" : "side-by-side" });
    for (const one of found.responses) side.append(article(one, samples[one.teacher] > 1));
    trace.replaceChildren(heading, text, side);
    trace.lang = "";
    colour();
    if (teacher !== null) {
      const section = [...side.children].find((each) => each.response.teacher === teacher);
      if (section) { section.classList.add("chosen"); focusStep(section.querySelector(".steps > span")); }
    }
    return true;
  }

  async function openPrompt(place, teacher) {
    const row = prompts.place ? prompts.place.indexOf(place) : place;
    if (row < 0 || row >= prompts.id.length) return;
    panel.scrollIntoView({ block: "start" });
    await open(row, { teacher });
  }

  // ---------------------------------------------------------------- keyboard and pointer

  const isStep = (node) => node instanceof Element && node.matches("#trace .steps > span");
  const shown = () => [...trace.querySelectorAll(".response:not([hidden]) .steps")];
  function focusStep(step) {
    if (!step) return;
    const old = step.parentElement.querySelector('[tabindex="0"]');
    if (old) old.tabIndex = -1;
    step.tabIndex = 0;
    step.focus();
  }
  function hush() {
    details.textContent = idle;
    details.classList.add("idle");
  }
  function tell(step) {
    const section = step.closest(".response");
    details.classList.remove("idle");
    details.textContent = `${section.getAttribute("aria-label")}, ${describe(section.response, Number(step.dataset.step))}`;
  }
  async function turn(by, from) {
    const column = isStep(from) ? shown().indexOf(from.parentElement) : 0;
    const at = order.indexOf(current) + by;
    if (at < 0 || at >= order.length || !(await open(order[at]))) return;
    const lists = shown();
    const target = lists[Math.min(Math.max(column, 0), lists.length - 1)];
    if (target) focusStep(target.firstElementChild);
    else trace.querySelector("h3").focus();
  }
  const moves = { ArrowRight: (all, at) => at + 1, ArrowLeft: (all, at) => at - 1, Home: () => 0, End: (all) => all.length - 1 };
  const listMoves = { ArrowDown: (at) => at + 1, ArrowUp: (at) => at - 1, Home: () => 0, End: () => order.length - 1 };

  function keys(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const target = event.target;
    if (target.closest("select, input, textarea")) return;
    if (event.key === "j" || event.key === "k") {
      turn(event.key === "j" ? 1 : -1, target);
      event.preventDefault();
    } else if (target === list && event.key in listMoves) {
      const at = listMoves[event.key](order.indexOf(current));
      if (at >= 0 && at < order.length) open(order[at]);
      event.preventDefault();
    } else if (isStep(target) && event.key in moves) {
      const all = [...target.parentElement.children];
      focusStep(all[moves[event.key](all, all.indexOf(target))]);
      event.preventDefault();
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      // A wide table in focus scrolls by the arrows.
      if (target.closest(".scroll, .prompt-text")) return;
      const first = shown()[0];
      if (first) focusStep(first.firstElementChild);
      event.preventDefault();
    }
  }

  function listen() {
    document.addEventListener("keydown", keys);
    list.addEventListener("scroll", paint);
    list.addEventListener("click", (event) => {
      const option = event.target.closest(".option");
      if (option) open(Number(option.dataset.row));
    });
    byId("search").addEventListener("input", arrange);
    byId("filter-winner").addEventListener("change", arrange);
    byId("filter-correct").addEventListener("change", arrange);
    panel.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.sort) {
        sort = button.dataset.sort;
        for (const each of panel.querySelectorAll("[data-sort]")) each.setAttribute("aria-pressed", String(each === button));
        arrange();
      } else if (button.dataset.view) {
        view = data.views.find((one) => one.name === button.dataset.view);
        colour();
      } else if (button.id === "correct-only") {
        correctOnly = !correctOnly;
        button.setAttribute("aria-pressed", String(correctOnly));
        colour();
      } else if (button.dataset.go) {
        const step = button.closest(".response").querySelectorAll(".steps > span")[Number(button.dataset.go)];
        focusStep(step);
        step.scrollIntoView({ block: "center" });
      }
    });
    trace.addEventListener("focusin", (event) => { if (isStep(event.target)) tell(event.target); });
    trace.addEventListener("mouseover", (event) => { if (isStep(event.target)) tell(event.target); });
    trace.addEventListener("mouseout", () => {
      if (isStep(document.activeElement)) tell(document.activeElement);
      else hush();
    });
    window.addEventListener("hashchange", () => { const row = named(); if (row >= 0) open(row); });
    window.addEventListener("resize", paint);
  }
  // On paper the settings are open.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("#settings details:not([open])")];
    for (const each of folded) each.open = true;
  });
  window.addEventListener("afterprint", () => { for (const each of folded) each.open = false; });
  function named() {
    if (!location.hash.startsWith("#p=")) return -1;
    let id = location.hash.slice(3);
    try { id = decodeURIComponent(id); } catch { /* an id with a lone % is taken as it is */ }
    return prompts.id.indexOf(id);
  }

  // ---------------------------------------------------------------- plots

  const tip = byId("tip");
  function showTip(handler, event, item, value) {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    const rows = typeof value === "object" ? Object.entries(value) : [["", value]];
    tip.replaceChildren(...rows.map(([name, each]) => make("div", {}, make("span", { class: "why" }, `${name} `), String(each))));
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
  }
  const NARROW = 480;
  const narrow = (box) => box.clientWidth < NARROW;
  // As many columns as the longest name leaves room for; a name alone may be as long as the plot.
  // Beside a name: its mark and the gap to the next one, and in some plots a shape before the name.
  const MARK = 36, BESIDE = MARK + 24;
  const ruler = document.createElement("canvas").getContext("2d");
  ruler.font = "13px system-ui, sans-serif";
  function fitLegend(specification, width) {
    let longest = 0;
    JSON.stringify(specification, (key, value) => {
      if (key !== "domain" || !Array.isArray(value)) return value;
      for (const each of value) longest = Math.max(longest, ruler.measureText(String(each)).width);
    });
    const columns = Math.max(1, Math.min(4, Math.floor(width / (longest + BESIDE))));
    Object.assign(specification.config.legend, { columns, labelLimit: width / columns - MARK });
  }
  // The names beside a plot: those of metrics are never cut, others in the middle, as models of a
  // family differ at their ends. The width of the widest.
  function fitLabels(specification, whole) {
    const limit = whole ? Infinity : specification.config.axisY.labelLimit;
    let widest = 0;
    for (const layer of specification.layer || []) {
      const y = layer.encoding && layer.encoding.y;
      if (!y || y.type !== "nominal" || !y.axis) continue;
      const set = layer.data || specification.data;
      const rows = set.values || specification.datasets[set.name];
      const names = shortened([...new Set(rows.map((row) => row[y.field]))], limit);
      widest = Math.max(widest, ...Object.values(names).map(widthOf));
      y.axis.labelExpr = `${JSON.stringify(names)}[datum.label]`;
      y.axis.labelLimit = 0;
    }
    return widest;
  }
  const widthOf = (text) => ruler.measureText(text).width;
  // Name -> the same, cut so that it is no wider; names that would read alike show where they differ.
  function shortened(names, limit) {
    const found = Object.fromEntries(names.map((name) => [name, cut(name, limit)]));
    for (const name of names) {
      const alike = names.filter((other) => other !== name && cut(other, limit) === cut(name, limit));
      if (!alike.length) continue;
      const letters = [...name];
      let common = Math.max(...alike.map((other) => letters.findIndex((letter, i) => [...other][i] !== letter)));
      while (common > 0 && /[\p{L}\p{N}.]/u.test(letters[common - 1])) common -= 1;
      for (let end = letters.length; end > common && common >= 0; end -= 1) {
        found[name] = `${letters.slice(0, Math.min(4, common)).join("")}…${letters.slice(common, end).join("")}${end < letters.length ? "…" : ""}`;
        if (widthOf(found[name]) <= limit) break;
      }
    }
    return found;
  }
  function cut(name, limit) {
    const letters = [...name];
    for (let kept = letters.length; kept > 1; kept -= 1) {
      const head = Math.ceil(kept / 2);
      const text = kept === letters.length ? name
        : `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (kept - head)).join("")}`;
      if (widthOf(text) <= limit) return text;
    }
    return "…";
  }
  async function draw(box, rows) {
    const name = box.dataset.chart;
    box.dataset.narrow = String(narrow(box));
    const specification = structuredClone(charts[name]);
    if (rows) specification.datasets = { ...(specification.datasets || {}), points: rows };
    if (narrow(box)) specification.config.axisY.labelLimit = 120;
    const labels = fitLabels(specification, name === "winners");
    // A legend begins where the plot does, behind the labels of its axis: numbers, or names.
    const axis = name === "winners" ? labels + 20 : 60;
    fitLegend(specification, box.clientWidth - axis);
    const made = await vegaEmbed(box, specification, {
      ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: showTip, mode: "vega-lite",
    });
    box.view = made.view;
    made.view.addEventListener("click", (event, item) => {
      const row = item && item.datum;
      if (row && row.p !== undefined && root.classList.contains("traces")) openPrompt(row.p, row.t);
    });
  }
  async function drawAll(rows) {
    const boxes = [...document.querySelectorAll("[data-chart]")];
    for (const box of boxes) await draw(box, rows);
    window.addEventListener("resize", () => {
      for (const box of boxes) if (box.dataset.narrow !== String(narrow(box))) draw(box, rows);
    });
    root.classList.add("drawn");
  }

  async function begin() {
    if (typeof DecompressionStream === "undefined") return drawAll([]);
    prompts = await unpack("list-block");
    const columns = await unpack("points-block");
    const rows = columns.p.map((p, i) => ({
      p, t: columns.teacher[i], teacher: data.teachers[columns.teacher[i]],
      prompt: prompts.place ? String(p + 1) : prompts.id[p],
      tokens: columns.tokens[i], score: columns.score[i], local: columns.local[i], global: columns.global[i],
    }));
    root.classList.add("traces");
    listen();
    arrange();
    const start = named();
    if (order.length) await open(start >= 0 ? start : order[0], { keep: true });
    if (start >= 0) panel.scrollIntoView({ block: "start" });
    root.classList.add("opened");
    await drawAll(rows);
  }
  begin();
})();
