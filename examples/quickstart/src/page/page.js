// The page is a client of the API like any other: it searches with a tenant's token, and gets what that tenant may see.
"use strict";

const $ = (id) => document.getElementById(id);
const tokens = new Map(); // tenant id -> { token, expires }
let latest = 0; // the number of the last search: answers to earlier ones are dropped

async function json(path, headers = {}) {
  const response = await fetch(path, { headers, cache: "no-store" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail || problem.title || `the server answered ${response.status}`);
}

async function tokenOf(tenant) {
  const known = tokens.get(tenant);
  if (known && known.expires > Date.now() + 10_000) return known.token;
  const { token, expires_at } = await json(`development/tenants/${tenant}/token`);
  tokens.set(tenant, { token, expires: Date.parse(expires_at) });
  return token;
}

async function search(tenant, text) {
  const authorization = `Bearer ${await tokenOf(tenant)}`;
  const began = performance.now();
  const found = await json(`search?${new URLSearchParams({ text })}`, { authorization });
  return { ...found, total_ms: performance.now() - began };
}

function hit(item, of) {
  const node = $("hit").content.cloneNode(true);
  const article = node.querySelector("article");
  article.querySelector("h3").textContent = item.title;
  const where = item.path === item.title ? [of] : [of, item.path];
  article.querySelector(".where").textContent = [...where, `part ${item.part + 1}`].join(" · ");
  article.querySelector(".bar i").style.width = `${Math.max(0, Math.min(1, item.score)) * 100}%`;
  article.querySelector(".number").textContent = `similarity ${item.score.toFixed(3)}`;
  article.querySelector(".text").textContent = item.text.replace(/\n\s*\n/g, "\n");
  article.querySelector(".more").addEventListener("click", (event) => {
    const open = article.classList.toggle("open");
    event.target.setAttribute("aria-expanded", open);
    event.target.textContent = open ? "less" : "more";
  });
  return node;
}

function show(section, title, name, found) {
  section.querySelector("h2").textContent = title;
  const facts = [`${found.items.length} hits`, `${found.took_ms.toFixed(1)} ms on the server`, `${found.total_ms.toFixed(1)} ms to here`,
    `${found.route} search${found.complete ? ", complete" : ""}`];
  section.querySelector(".facts").textContent = facts.join(" · ");
  const list = section.querySelector("ol");
  list.replaceChildren(...found.items.map((item) => hit(item, name)));
  if (!found.items.length) list.innerHTML = '<li class="none">Nothing.</li>';
  for (const article of list.querySelectorAll("article")) {
    const text = article.querySelector(".text");
    article.querySelector(".more").hidden = text.scrollHeight <= text.clientHeight + 1;
  }
}

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").className = bad ? "bad" : "";
}

async function run() {
  const text = $("text").value.trim();
  if (!text) return;
  const number = ++latest;
  const [mine, theirs] = [$("tenant"), $("other")];
  say("Searching …");
  try {
    const name = (select) => select.selectedOptions[0].dataset.name;
    // One after the other, so that neither slows the other down.
    const own = await search(mine.value, text);
    const foreign = await search(theirs.value, text);
    if (number !== latest) return;
    $("results").hidden = false;
    show($("mine"), name(mine), name(mine), own);
    show($("theirs"), `The same question as ${name(theirs)}`, name(theirs), foreign);
    const documents = new Set(own.items.map((item) => item.document));
    const shared = foreign.items.filter((item) => documents.has(item.document)).length;
    say(mine.value === theirs.value ? "" : `${shared} of the hits on the left are visible to ${name(theirs)}.`);
    const query = new URLSearchParams({ text, tenant: name(mine), other: name(theirs) });
    history.replaceState(null, "", `?${query}`);
  } catch (error) {
    if (number === latest) say(error.message, true);
  }
}

function option({ id, name, documents, chunks }) {
  const node = new Option(`${name} (${chunks})`, id);
  node.dataset.name = name;
  node.title = `${documents} documents, ${chunks} chunks`;
  return node;
}

function choose(select, name) {
  const wanted = [...select.options].find((one) => one.dataset.name === name);
  if (wanted) select.value = wanted.value;
}

async function begin() {
  const tenants = await json("development/tenants");
  if (!tenants.length) return say("There is no tenant yet.");
  $("tenant").append(...tenants.map(option));
  $("other").append(...tenants.map(option));
  $("other").selectedIndex = Math.min(1, tenants.length - 1);
  const asked = new URLSearchParams(location.search);
  choose($("tenant"), asked.get("tenant"));
  choose($("other"), asked.get("other"));
  $("text").value = asked.get("text") || "";
  await run();
}

function walk(step) {
  const articles = [...document.querySelectorAll("#mine article")];
  const at = articles.indexOf(document.activeElement);
  if (at + step < 0) return $("text").focus();
  articles[Math.min(at + step, articles.length - 1)]?.focus();
}

$("search").addEventListener("submit", (event) => { event.preventDefault(); run(); });
for (const id of ["tenant", "other"]) $(id).addEventListener("change", run);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.matches("input, select");
  if (event.key === "/" && !typing) { event.preventDefault(); $("text").select(); }
  if (event.key === "Escape") { $("text").value = ""; $("text").focus(); }
  if (event.target.matches("select")) return;
  if (event.key === "ArrowDown") { event.preventDefault(); walk(1); }
  if (event.key === "ArrowUp") { event.preventDefault(); walk(-1); }
});
begin().catch((error) => say(error.message, true));
