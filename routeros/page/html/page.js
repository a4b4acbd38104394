"use strict";

// Passes the form's choices to the program and shows its answers. Nothing is stored or sent.

const form = document.getElementById("form");
const byId = (id) => document.getElementById(id);
let files = [];
let selected = "";
let urls = [];
let touched = false;

// choices returns the form's choices, or with initial the page's initial ones, as a query.
function choices(initial) {
  const all = new URLSearchParams();
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "radio") {
      if (initial ? field.defaultChecked : field.checked) all.append(field.name, field.value);
    } else if (field.type === "checkbox") {
      all.append(field.name, String(initial ? field.defaultChecked : field.checked));
    } else if (field.tagName === "SELECT") {
      const first = [...field.options].find((o) => o.defaultSelected) || field.options[0];
      all.append(field.name, initial ? first.value : field.value);
    } else {
      const text = initial ? field.defaultValue : field.value;
      all.append(field.name, field.classList.contains("number") && !text.trim() ? "0" : text);
    }
  }
  return all.toString();
}

// fill fills in the choices of a link, and shows those that the form doesn't know.
function fill(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  form.reset();
  const unknown = [];
  for (const name of new Set(given.keys())) {
    const values = given.getAll(name);
    if (!isChoice(name) || !put(form.elements.namedItem(name), values)) unknown.push(`${name}=${values.join(",")}`);
  }
  byId("unknown").textContent = unknown.length ? `The link has choices that this page does not know: ${unknown.join(" ")}` : "";
  show(byId("unknown"), unknown.length > 0);
}

// put sets the values of a field. It returns false if the field can't have them.
function put(field, values) {
  if (field.type === "checkbox") {
    if (!["true", "false"].includes(values[0])) return false;
    field.checked = values[0] === "true";
  } else if (field instanceof RadioNodeList || field.tagName === "SELECT") {
    const before = field.value;
    field.value = values[0];
    if (field.value !== values[0]) {
      field.value = before;
      return false;
    }
  } else {
    field.value = values.join("\n");
  }
  return true;
}

const isChoice = (name) => [...form.elements].some((field) => field.name === name);

function show(element, visible) {
  element.hidden = !visible;
}

function make(tag, text, attributes) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  return element;
}

function update() {
  const answer = globalThis.writeScripts(choices(false), choices(true));
  files = answer.files || [];
  showProblems(answer);
  showSteps(answer.steps || []);
  showFiles();
  showAdditions(answer.additions || []);
  showLink(answer);
}

function showProblems(answer) {
  const problems = answer.problems || [];
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const text of form.querySelectorAll(".problem")) {
    text.textContent = "";
    show(text, false);
  }
  const list = byId("problems");
  list.replaceChildren();
  const lines = answer.message ? answer.message.split("\n") : [];
  for (const line of lines) {
    const item = list.appendChild(make("li"));
    const problem = problems.find((p) => line.endsWith(p.text) && byId(p.option));
    if (problem) item.append(make("a", line, { href: "#" + problem.option, "data-option": problem.option }));
    else item.textContent = line;
  }
  for (const problem of problems) {
    const text = byId(problem.option + "-error");
    if (!text || !touched) continue;
    text.append(make("span", problem.text), make("br"));
    show(text, true);
    byId(problem.option).setAttribute("aria-invalid", "true");
    const fold = text.closest("details");
    if (fold) fold.open = true;
  }
  list.classList.toggle("calm", !touched);
  show(list, lines.length > 0);
  const status = files.length ? `${files.length} files are ready.`
    : !touched ? "Something is missing before there are scripts:"
      : lines.length === 1 ? "One thing is wrong:" : `${lines.length} things are wrong:`;
  if (byId("status").textContent !== status) byId("status").textContent = status;
  byId("jump-status").textContent = status.replace(/:$/, ".");
}

// reveal moves the focus to a field.
function reveal(option) {
  const field = byId(option);
  const fold = field.closest("details");
  if (fold) fold.open = true;
  const target = field.matches("[role=radiogroup]") ? field.querySelector("input:checked") || field.querySelector("input") : field;
  target.focus();
  target.scrollIntoView({ block: "center" });
}

function showSteps(steps) {
  show(byId("steps"), files.length > 0);
  for (const url of urls) URL.revokeObjectURL(url);
  urls = files.map((f) => URL.createObjectURL(new Blob([f.text], { type: "text/plain;charset=utf-8" })));
  const list = byId("step-list");
  list.replaceChildren();
  steps.forEach((step, i) => {
    const item = list.appendChild(make("li", step.what));
    if (i === 0) {
      const downloads = item.appendChild(make("div", "", { class: "downloads" }));
      files.forEach((f, n) => downloads.append(make("a", f.name, { href: urls[n], download: f.name })));
    }
    if (step.command) {
      const line = item.appendChild(make("div", "", { class: "command" }));
      line.append(make("code", step.command), make("button", "Copy", { type: "button", "aria-label": "Copy the command" }));
      line.lastChild.addEventListener("click", (e) => copy(step.command, e.currentTarget));
    }
  });
}

function showFiles() {
  show(byId("files"), files.length > 0);
  const tabs = byId("tabs");
  const focused = tabs.contains(document.activeElement);
  tabs.replaceChildren();
  if (!files.some((f) => f.name === selected)) selected = files.length ? files[0].name : "";
  for (const f of files) {
    const chosen = f.name === selected;
    const tab = make("button", label(f), {
      type: "button", role: "tab", id: "tab-" + f.name, "aria-selected": String(chosen), "aria-controls": "panel", tabindex: chosen ? "0" : "-1",
    });
    tab.addEventListener("click", () => choose(f.name));
    tabs.append(tab);
    if (!chosen) continue;
    if (focused) tab.focus();
    byId("panel").setAttribute("aria-labelledby", tab.id);
    byId("file-name").textContent = f.name;
    if (byId("text").textContent !== f.text) byId("text").textContent = f.text;
  }
}

// label returns the text of a tab: the kind of the file, or its name if several files have that kind.
function label(file) {
  const same = files.filter((f) => f.kind === file.kind).length;
  const kind = file.kind.charAt(0).toUpperCase() + file.kind.slice(1).replace("-", " ");
  return same > 1 ? file.name.replace(/\.rsc$/, "") : kind;
}

function choose(name) {
  selected = name;
  showFiles();
  byId("text").scrollTop = 0;
}

const current = () => files.find((f) => f.name === selected);

byId("tabs").addEventListener("keydown", (e) => {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -files.length, End: files.length }[e.key];
  if (!step) return;
  e.preventDefault();
  const at = files.findIndex((f) => f.name === selected) + step;
  const next = Math.abs(step) > 1 ? Math.min(Math.max(at, 0), files.length - 1) : (at + files.length) % files.length;
  choose(files[next].name);
});

function showAdditions(additions) {
  show(byId("additions"), additions.length > 0);
  const menus = Map.groupBy ? Map.groupBy(additions, (a) => a.menu) : group(additions);
  const list = byId("addition-list");
  list.replaceChildren();
  for (const [menu, entries] of menus) {
    list.appendChild(make("dt")).append(make("code", menu));
    for (const entry of entries) list.append(make("dd", entry.what));
  }
}

function group(additions) {
  const menus = new Map();
  for (const a of additions) menus.set(a.menu, [...(menus.get(a.menu) || []), a]);
  return menus;
}

function showLink(answer) {
  show(byId("share"), files.length > 0);
  byId("link").value = location.href.split("#")[0] + (answer.link ? "#" + answer.link : "");
  const omitted = answer.omitted || [];
  byId("link-omitted").textContent = omitted.length ? `The link leaves out choices that may be secret: ${omitted.join(", ")}.` : "";
  show(byId("link-omitted"), omitted.length > 0);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages served over plain HTTP have no clipboard.
    const scratch = document.body.appendChild(make("textarea"));
    scratch.value = text;
    scratch.select();
    document.execCommand("copy");
    scratch.remove();
    button.focus();
  }
  byId("announcer").textContent = "";
  byId("announcer").textContent = "Copied";
  const before = button.dataset.label || button.textContent;
  button.dataset.label = before;
  button.textContent = "Copied ✓";
  setTimeout(() => { button.textContent = before; }, 1500);
}

byId("copy").addEventListener("click", (e) => copy(current().text, e.currentTarget));
byId("copy-link").addEventListener("click", (e) => copy(byId("link").value, e.currentTarget));
byId("link").addEventListener("focus", (e) => e.currentTarget.select());
byId("download").addEventListener("click", () => {
  const n = files.indexOf(current());
  make("a", "", { href: urls[n], download: files[n].name }).click();
});
byId("problems").addEventListener("click", (e) => {
  const option = e.target.dataset.option;
  if (!option) return;
  e.preventDefault();
  reveal(option);
});

// The board only helps to find the architecture. It is not a choice.
const plain = (text) => text.trim().toLowerCase().replaceAll("²", "2").replaceAll("³", "3");

function showBoard() {
  const note = byId("board-note");
  note.replaceChildren();
  const typed = plain(byId("board").value);
  const board = typed && [...byId("boards").options].find((o) => plain(o.value) === typed || plain(o.dataset.code) === typed);
  if (!typed || (!board && !byId("board").matches(":focus"))) {
    if (typed) note.textContent = "This board is not in the list. Choose the architecture below.";
    return;
  }
  if (!board) return;
  const { platform, flash, memory } = board.dataset;
  if (platform === "none") {
    note.textContent = `RouterOS has no containers on the processor of ${board.value}.`;
    return;
  }
  if (platform === "unsure") {
    note.textContent = `Nobody has reported which image ${board.value} needs. Choose the architecture below.`;
    return;
  }
  form.elements.arch.value = platform;
  const parts = [`${board.value}: ${platform}`];
  if (Number(flash)) parts.push(`${flash} MB of flash`, `${memory} MB of memory`);
  note.textContent = parts.join(", ") + ".";
  if (platform === "armv5") note.textContent += " Use a tag of the image that is for ARMv5, such as stable-armv5.";
  if (Number(flash) && Number(flash) <= 16) {
    note.textContent += " So little flash often has no room for the image.";
    const button = note.appendChild(make("button", "Keep the image in memory", { type: "button" }));
    button.addEventListener("click", () => {
      form.elements.root.value = "memory";
      changed();
      button.remove();
    });
  }
}

function changed() {
  touched = true;
  update();
}

byId("board").addEventListener("input", () => { showBoard(); changed(); });
byId("board").addEventListener("blur", showBoard);
form.addEventListener("input", (e) => { if (e.target.name) changed(); });
form.addEventListener("submit", (e) => e.preventDefault());
form.addEventListener("reset", () => {
  show(byId("unknown"), false);
  setTimeout(() => { touched = false; showBoard(); update(); });
});
addEventListener("hashchange", () => {
  if (byId(location.hash.slice(1))) return; // a link within the page
  fill(location.hash);
  answerLink();
});

// answerLink runs after the answer to a reset, which sets all choices to the page's initial ones.
function answerLink() {
  setTimeout(() => {
    touched = location.hash.includes("=");
    update();
  });
}

async function start() {
  const packed = Uint8Array.from(atob(byId("program").textContent), (c) => c.charCodeAt(0));
  byId("program").remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const go = new Go();
  const program = await WebAssembly.instantiate(await new Response(stream).arrayBuffer(), go.importObject);
  go.run(program.instance);
  if (location.hash.includes("=")) fill(location.hash);
  answerLink();
}

start().catch((problem) => {
  byId("status").textContent = `This browser can't run the page (${problem.message}). Use a current Firefox, Chrome, Edge or Safari.`;
});
