
"use strict";
(() => {
  const view = document.getElementById("traces");
  const prompts = [...view.querySelectorAll(".prompt")];
  const choice = document.getElementById("prompt-choice");
  const previous = document.getElementById("prompt-previous");
  const next = document.getElementById("prompt-next");
  const details = document.getElementById("step-details");
  const idle = details.textContent;
  let current = 0;

  const steps = (list) => [...list.children];
  const isStep = (node) => node instanceof Element && node.matches(".steps > span");
  const listOf = (step) => step.parentElement;
  const place = (list) => [...prompts[current].querySelectorAll(".steps")].indexOf(list);

  // One stop for the Tab key in each response; the arrows move it.
  function stop(step) {
    const old = listOf(step).querySelector('[tabindex="0"]');
    if (old) old.tabIndex = -1;
    step.tabIndex = 0;
  }

  function describe(step) {
    const heading = step.closest(".response").querySelector("h4").textContent.trim();
    details.textContent = heading + ", " + step.title;
  }

  function focus(step) {
    stop(step);
    step.focus();
  }

  function begin(list) {
    const step = list && list.firstElementChild;
    if (step) focus(step);
  }

  function show(number) {
    if (number < 0 || number >= prompts.length) return false;
    prompts.forEach((prompt, index) => { prompt.hidden = index !== number; });
    current = number;
    choice.value = String(number);
    previous.disabled = number === 0;
    next.disabled = number === prompts.length - 1;
    details.textContent = idle;
    return true;
  }

  function turn(by, from) {
    const column = isStep(from) ? place(listOf(from)) : 0;
    if (!show(current + by)) return;
    const lists = prompts[current].querySelectorAll(".steps");
    begin(lists[Math.min(column, lists.length - 1)]);
  }

  function reveal(id) {
    const target = id && document.getElementById(id);
    const prompt = target && target.closest(".prompt");
    if (!prompt) return;
    show(prompts.indexOf(prompt));
    if (isStep(target)) focus(target);
    target.scrollIntoView({ block: "center" });
  }

  const moves = {
    ArrowRight: (all, at) => at + 1,
    ArrowLeft: (all, at) => at - 1,
    Home: () => 0,
    End: (all) => all.length - 1,
  };

  // On the whole page: the focus may be on a link, on a button just disabled, or on nothing.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("select, input, textarea")) return;
    if (event.key === "j" || event.key === "k") {
      turn(event.key === "j" ? 1 : -1, event.target);
      event.preventDefault();
    } else if (isStep(event.target) && event.key in moves) {
      const all = steps(listOf(event.target));
      const step = all[moves[event.key](all, all.indexOf(event.target))];
      if (step) focus(step);
      event.preventDefault();
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      // A wide table in focus scrolls by the arrows.
      if (event.target.closest(".scroll")) return;
      begin(prompts[current].querySelector(".steps"));
      event.preventDefault();
    }
  });
  view.addEventListener("focusin", (event) => {
    if (isStep(event.target)) { stop(event.target); describe(event.target); }
  });
  view.addEventListener("mouseover", (event) => { if (isStep(event.target)) describe(event.target); });
  view.addEventListener("mouseout", () => {
    if (isStep(document.activeElement)) describe(document.activeElement);
    else details.textContent = idle;
  });
  view.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    // Also where the address already names the step, so that nothing would change.
    if (link) { event.preventDefault(); history.replaceState(null, "", link.hash); reveal(link.hash.slice(1)); }
  });
  choice.addEventListener("change", () => show(Number(choice.value)));
  previous.addEventListener("click", () => show(current - 1));
  next.addEventListener("click", () => show(current + 1));
  window.addEventListener("hashchange", () => reveal(location.hash.slice(1)));

  document.documentElement.classList.add("js");
  for (const list of view.querySelectorAll(".steps")) {
    steps(list).forEach((step, index) => { step.tabIndex = index ? -1 : 0; });
  }
  show(0);
  reveal(location.hash.slice(1));
})();
