// Asks the admin API every two seconds and shows what it says. Everything that comes from outside is put in as text.
"use strict";

const PERIOD = 2000;
const POINTS = 90;
const by = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token") ?? "";
let before = null;
const series = { rate: [], latency: [], errors: [] };

class Closed extends Error {}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(`api/${path}`, { ...options, headers, cache: "no-store" });
  if (response.status === 401) throw new Closed();
  const said = await response.json();
  if (!response.ok) throw new Error(said.error ?? response.statusText);
  return said;
}

// An element with attributes and children; strings are text.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const code = (text) => make("code", {}, text);
const cell = (...children) => make("td", {}, ...children);
const number = (value, style) => make("td", { class: `number ${style ?? ""}`.trim() }, value);
const head = (...children) => make("th", { scope: "row" }, ...children);
const count = (value) => value.toLocaleString("en");

function time(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${Number((seconds * 1e6).toPrecision(2))} µs`;
  return seconds < 1 ? `${Number((seconds * 1e3).toPrecision(2))} ms` : `${Number(seconds.toPrecision(2))} s`;
}

// Replaces rows only if they say something else, so that whoever reads or selects is not disturbed.
function rows(id, made, none) {
  const body = by(id);
  const names = [...body.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of made) [...row.cells].forEach((cell, index) => cell.setAttribute("data-column", names[index]));
  const fresh = make("tbody", {}, ...(made.length ? made : [make("tr", {}, make("td", { class: "muted", colspan: names.length }, none))]));
  tabular(fresh);
  if (fresh.innerHTML !== body.innerHTML) body.replaceChildren(...fresh.childNodes);
}

// On a phone a row is a block of lines: to some browsers it is no row any more unless it is said.
function tabular(within) {
  const roles = { table: "table", "thead, tbody": "rowgroup", tr: "row", td: "cell", "th[scope=col]": "columnheader", "th[scope=row]": "rowheader" };
  for (const [names, role] of Object.entries(roles)) within.querySelectorAll(names).forEach((element) => element.setAttribute("role", role));
}

function chain(links, end) {
  const item = (link) => make("li", { class: link.conditional ? "when" : undefined, title: `${link.plugin}, ${link.at}` },
    make("span", {}, link.name, link.conditional ? make("span", { class: "unseen" }, " (for some requests)") : null));
  return make("ol", { class: "chain" }, ...links.map(item), make("li", { class: "end" }, make("span", {}, end ?? "answered by a link")));
}

function showRoutes(routes) {
  rows("routes-rows", routes.map((route) => {
    const { requests, statuses, seconds, times } = route.traffic;
    const timed = times.reduce((sum, { count: more }) => sum + more, 0);
    return make("tr", {}, head(route.site), cell(code(`${route.methods.join(" ")} ${route.pattern}`.trim())), cell(chain(route.chain, route.to)),
      number(count(requests)), number(count(statuses["4xx"])), number(count(statuses["5xx"]), statuses["5xx"] ? "bad" : ""),
      number(timed ? time(seconds / timed) : "–"));
  }), "There are no routes.");
}

function showPlugins(plugins) {
  rows("plugins-rows", plugins.map((plugin) => {
    const { counts } = plugin;
    const faults = Object.entries(counts.faults).filter(([, value]) => value);
    const told = faults.map(([cause, value]) => `${count(value)} ${cause.replace("_", " ")}`).join(", ");
    const { hits, misses } = counts.remembered;
    return make("tr", {}, head(plugin.name, make("span", { class: "muted" }, plugin.bundled ? " bundled" : "")),
      cell(plugin.may.length ? plugin.may.join(", ") : make("span", { class: "muted" }, "nothing")),
      cell(plugin.isolate === "request" ? "fresh for each request" : "one per worker", counts.breakers_open ? make("span", { class: "bad" }, " left out now") : null),
      number(count(counts.calls)), number(counts.calls && counts.cpu_seconds ? time(counts.cpu_seconds / counts.calls) : "–"),
      number(hits + misses ? `${Math.round((100 * hits) / (hits + misses))} %` : "–"), number(told || "0", faults.length ? "bad" : ""));
  }), "No route has a link.");
}

function showUpstreams(upstreams) {
  rows("upstreams-rows", upstreams.map((one) => make("tr", {}, head(one.name), cell(code(one.servers.join(" ")), one.tls ? " over TLS" : "",
      one.drained.length ? make("span", { class: "doubtful" }, ` taken out: ${one.drained.join(" ")}`) : null),
    number(count(one.requests)), number(count(one.active)), number(count(one.idle)), number(count(one.retries)),
    number(count(one.failures), one.failures ? "bad" : ""))), "There are no upstreams.");
}

function showCertificates(certificates) {
  rows("certificates-rows", certificates.map(({ site, from, certificate }) => {
    if (!certificate) return make("tr", {}, head(site), cell(from), cell("–"), make("td", { class: "doubtful" }, "has not come yet"));
    const days = certificate.days_left;
    // Leaves of the local CA live for days, and are renewed in time.
    const style = days < 0 ? "bad" : days < 14 && from !== "local" ? "doubtful" : "good";
    const left = days < 0 ? "it has ended" : `in ${days} day${days === 1 ? "" : "s"}`;
    return make("tr", {}, head(site), cell(from), cell(certificate.issuer), make("td", { class: style }, `${certificate.not_after.slice(0, 10)}, ${left}`));
  }), "No site has TLS.");
}

function showRefusals(refusals) {
  rows("refusals-rows", refusals.map((one) => {
    const url = `${one.scheme}://${one.host}${one.path}`;
    const button = one.host && make("button", { type: "button", "data-url": url, "data-method": one.method, "aria-label": `Explain ${one.method} ${url}` }, "explain");
    return make("tr", {}, cell(make("time", { datetime: one.at }, one.at.slice(11, 19))), cell(code(one.reason)), cell(`${one.status ?? "–"}`),
      cell(code(one.host ? `${one.method} ${url}` : "–")), cell(button || ""));
  }), "None so far.");
}

function draw(name, unit) {
  const points = series[name];
  const known = points.filter(Number.isFinite);
  const most = Math.max(...known, 1e-9) * 1.1;
  const at = (point, index) => `${((index + POINTS - points.length) * 300) / (POINTS - 1)},${78 - (point / most) * 74}`;
  let path = "";
  points.forEach((point, index) => {
    if (Number.isFinite(point)) path += `${path && Number.isFinite(points[index - 1]) ? "L" : "M"}${at(point, index)}`;
  });
  const svg = by(`${name}-chart`);
  const namespace = "http://www.w3.org/2000/svg";
  const line = document.createElementNS(namespace, "line");
  for (const [key, value] of Object.entries({ x1: 0, y1: 78, x2: 300, y2: 78 })) line.setAttribute(key, value);
  const curve = document.createElementNS(namespace, "path");
  curve.setAttribute("d", path || "M0,78");
  svg.replaceChildren(line, curve);
  const last = points.at(-1);
  const text = last === null || last === undefined ? "–" : unit(last);
  by(name).textContent = text;
  svg.setAttribute("aria-label", known.length ? `now ${text}, at most ${unit(Math.max(...known))} within ${Math.round((points.length * PERIOD) / 1000)} seconds` : "nothing yet");
}

// What came since the last look.
function measure(routes) {
  const now = { at: performance.now(), requests: 0, errors: 0, times: new Map() };
  for (const { traffic } of routes) {
    now.requests += traffic.requests;
    now.errors += traffic.statuses["5xx"] + traffic.statuses.none;
    for (const { up_to, count } of traffic.times) now.times.set(up_to ?? Infinity, (now.times.get(up_to ?? Infinity) ?? 0) + count);
  }
  if (before && now.requests >= before.requests) {
    const seconds = (now.at - before.at) / 1000;
    const came = now.requests - before.requests;
    put("rate", came / seconds);
    put("errors", (now.errors - before.errors) / seconds);
    // What was upgraded is not timed.
    const timed = [...now.times].sort(([a], [b]) => a - b).map(([bound, total]) => [bound, total - (before.times.get(bound) ?? 0)]);
    const all = timed.reduce((sum, [, more]) => sum + more, 0);
    let rest = all * 0.95;
    const slowest = timed.find(([, more]) => (rest -= more) <= 0);
    put("latency", all ? (slowest?.[0] ?? null) : null);
  }
  before = now;
  const perSecond = (value) => (value >= 100 ? count(Math.round(value)) : String(Number(value.toFixed(1))));
  draw("rate", perSecond);
  draw("errors", perSecond);
  draw("latency", (value) => (value === Infinity ? "more" : time(value)));
  by("uncounted").hidden = now.requests > 0;
}

function put(name, value) {
  series[name].push(value);
  if (series[name].length > POINTS) series[name].shift();
}

function showStatus(status) {
  const words = `${status.standing}, generation ${status.generation}`;
  const standing = by("standing");
  // Only what is new is read out.
  if (standing.textContent !== words) standing.textContent = words;
  standing.className = status.standing === "serving" ? "" : "bad";
  const hours = status.uptime_seconds / 3600;
  const up = hours < 1 ? `${Math.floor(status.uptime_seconds / 60)} min` : hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} days`;
  const figures = [["Connections", count(status.connections)], ["Requests running", count(status.exchanges)], ["Up", up],
    ["Configurations in use", String(status.generations.length)], ["Warnings", String(status.warnings)], ["Version", status.version]];
  by("figures").replaceChildren(...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

async function look() {
  try {
    const [status, routes, plugins, upstreams, certificates, refusals] =
      await Promise.all(["status", "routes", "plugins", "upstreams", "certificates", "refusals"].map((path) => ask(path)));
    by("door").hidden = true;
    by("main").hidden = false;
    showStatus(status);
    measure(routes);
    showRoutes(routes);
    showPlugins(plugins);
    showUpstreams(upstreams);
    showCertificates(certificates);
    showRefusals(refusals);
  } catch (error) {
    if (error instanceof Closed) return shut();
    by("standing").textContent = error instanceof TypeError ? "no answer" : error.message;
    by("standing").className = "bad";
  }
  setTimeout(look, PERIOD);
}

function shut() {
  by("standing").textContent = "a token is needed";
  by("main").hidden = true;
  by("door").hidden = false;
  by("door-why").textContent = token ? "This is not the token." : "";
  by("token").focus();
}

by("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = by("token").value;
  sessionStorage.setItem("token", token);
  by("token").value = "";
  look();
});

function told(answer) {
  const line = (name, ...children) => make("div", {}, make("dt", {}, name), make("dd", {}, ...children));
  const lines = [];
  if (answer.site) lines.push(line("Site", code(answer.site.name), ` tls: ${answer.site.tls} `, make("span", { class: "muted" }, answer.site.at)));
  if (answer.answer) {
    const { status, reason, location } = answer.answer;
    lines.push(line("Answer", `${status} ${reason ?? ""}${location ? `to ${location}` : ""}`));
  }
  if (answer.route) {
    lines.push(line("Route", code(answer.route.pattern), " ", make("span", { class: "muted" }, answer.route.at)));
    const links = answer.chain.filter((link) => link.entered).map((link) => ({ ...link, conditional: false }));
    lines.push(line("Chain", chain(links, answer.upstream?.name)));
    const others = answer.chain.filter((link) => !link.entered).map((link) => link.name);
    if (others.length) lines.push(line("Not entered", others.join(", ")));
  }
  if (answer.upstream) lines.push(line("Upstream", code(answer.upstream.name), ` ${answer.upstream.servers.map((server) => server.address).join(" ")}`));
  if (answer.timeouts) lines.push(line("Timeouts", Object.entries(answer.timeouts).map(([name, value]) => `${name} ${value ?? "none"}`).join(", ")));
  return make("dl", {}, ...lines);
}

async function explain() {
  const answer = by("answer");
  try {
    const question = { url: by("url").value, method: by("method").value.toUpperCase() };
    const said = await ask("explain", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question) });
    answer.replaceChildren(told(said));
  } catch (error) {
    if (error instanceof Closed) return shut();
    answer.replaceChildren(make("p", { class: "bad" }, error.message));
  }
}

by("question").addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});

by("refusals-rows").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  by("url").value = button.dataset.url;
  by("method").value = button.dataset.method;
  await explain();
  by("answer").scrollIntoView({ block: "center" });
  by("answer").focus();
});

tabular(document);
look();
