// Draws what /api/stream tells: one state object; each part of the page has a module.
import { showCards, showHeard } from "/approaches.js";
import { calls, showCall, showCalls, since, until } from "/calls.js";
import { dayChart, scoreChart, theme } from "/charts.js";
import { showBearing, showSectors } from "/compass.js";
import { hearClap, showClaps, showTest } from "/checks.js";
import { at } from "/dom.js";
import { showFacts, showHealth } from "/health.js";
import { loudness, shift } from "/loudness.js";
import { drawRamp, drawSpectrogram } from "/spectrogram.js";

const STALE_S = 2, HOUR_S = 3600, WIDE = matchMedia("(min-width: 60rem)"), DARK = matchMedia("(prefers-color-scheme: dark)");
const page = { about: null, moments: [], columns: {}, shown: null, isChosen: false, heardAt: 0, opened: Date.now(), day: [], score: null, chart: null };
const shown_s = () => (WIDE.matches ? 60 : 30);
const isDark = () => document.documentElement.dataset.theme === "dark";
const row = () => page.about.approaches.findIndex((each) => each.name === page.shown);

function showAbout(about) {
  page.about = about;
  page.moments = [];
  const names = about.approaches.map((each) => each.name);
  page.columns = Object.fromEntries(names.map((name) => [name, []]));
  if (!names.includes(page.shown)) [page.shown, page.isChosen] = [names[0], false];
  document.title = `sirend ${about.site}`;
  at("site").textContent = about.site;
  at("advisory").hidden = !about.advisory;
  at("exports").hidden = !about.journal;
  showCards(about);
  showSectors(about);
  at("choice").hidden = names.length < 2;
  at("shown").replaceChildren(...names.map((name) => new Option(name, name)));
  at("shown").value = page.shown;
  showClaps(about, () => page.moments.at(-1)?.end_s ?? 0);
  showFacts(about);
  layOut();
}

// Make the charts, whose thresholds and width are those of now.
function layOut() {
  if (!page.about) return;
  page.score?.destroy();
  page.score = scoreChart(at("scores"), page.about, shown_s(), spans);
  page.chart ??= dayChart(at("chart"), () => calls().filter((call) => call.approach === page.shown)
    .map((call) => [since(call), until(call), calls().indexOf(call)]), ill, (index) => showCall(calls()[index]));
  repaint();
}

function takeMoments(moments) {
  if (!page.about || !moments.length) return;
  for (const moment of moments) {
    page.moments.push(moment);
    for (const heard of moment.heard) {
      const bytes = heard.columns ? Uint8Array.from(atob(heard.columns), (char) => char.charCodeAt(0)) : null;
      page.columns[heard.approach].push({ end_s: moment.end_s, bytes });
      if (page.columns[heard.approach].length > page.about.kept_s / page.about.hop_s) page.columns[heard.approach].shift();
      delete heard.columns;
    }
    hearClap(moment);
  }
  page.moments.splice(0, page.moments.length - page.about.kept_s / page.about.hop_s);
  page.heardAt = Date.now();
  const { heard: latest, bearing } = page.moments.at(-1);
  const calling = latest.find((heard) => heard.call === "approaching");
  latest.forEach((heard) => showHeard(heard, page.about, bearing, calling));
  showBearing(page.about, page.moments);
  if (calling && !page.isChosen && calling.approach !== page.shown) choose(calling.approach);
  draw();
}

function choose(name) {
  page.shown = at("shown").value = name;
  repaint();
}

const mine = () => page.moments.map((moment) => [moment.end_s, moment.heard[row()]]);

function spans() {  // calls of the shown approach, seconds before now
  const hop_s = page.about.hop_s, now_s = page.moments.at(-1)?.end_s, made = [];
  for (const [end_s, heard] of mine()) {
    if (heard.call !== "approaching") continue;
    if (made.length && end_s - hop_s - now_s <= made.at(-1)[1] + 1e-6) made.at(-1)[1] = end_s - now_s;
    else made.push([end_s - hop_s - now_s, end_s - now_s]);
  }
  return made;
}

function draw() {
  const latest = page.moments.at(-1);
  if (!latest || document.hidden) return;
  const past = mine(), now_s = latest.end_s, look = { now_s, shown_s: shown_s(), about: page.about, isDark: isDark(), ink: theme("ink"), paper: theme("paper") };
  drawSpectrogram(at("spectrogram"), page.columns[page.shown], look);
  at("score-key").hidden = past.every(([, heard]) => heard.score === heard.evidence);  // one line lies on the other
  page.score.setData([past.map(([end_s]) => end_s - now_s), past.map(([, heard]) => heard.score), past.map(([, heard]) => heard.evidence)], false);
  page.score.setScale("x", { min: -shown_s(), max: 0 });
  if (latest.seq % 8 === 0 || !draw.said) {
    draw.said = true;
    at("spectrogram").setAttribute("aria-label", `Spectrogram of ${page.shown}, the last ${shown_s()} seconds`);
    at("scores").setAttribute("aria-label", `Evidence of a siren on ${page.shown}: ${Math.round(100 * past.at(-1)[1].evidence)} percent`);
  }
}

function showDay(minutes) {
  page.day = minutes;
  drawDay();
}

function ill() {  // minutes in which the daemon was not well
  return page.day.filter(([, state]) => state > 0).map(([from_s]) => [from_s, from_s + page.about.minute_s]);
}

function drawDay() {
  if (!page.chart) return;
  const x = [], level = [], floor = [], step_s = page.about.minute_s, now_s = Date.now() / 1000, name = page.shown;
  const shown = (dbfs) => (typeof dbfs === "number" ? dbfs + shift(page.about) : null);
  for (const [from_s, , levels, floors] of page.day) {
    if (x.length && from_s - x.at(-1) > 1.5 * step_s) [[x, x.at(-1) + step_s], [level, null], [floor, null]].forEach(([list, value]) => list.push(value));
    x.push(from_s);
    level.push(shown(levels[row()]));
    floor.push(shown(floors[row()]));
  }
  page.chart.setData([x, level, floor], false);
  const hours = Number(document.querySelector("#zoom [aria-pressed=true]")?.dataset.hours ?? 24);
  if (!page.isZoomed) page.chart.setScale("x", { min: now_s - hours * HOUR_S, max: now_s });
  at("of-day").textContent = page.about.approaches.length > 1 ? ` on ${name}` : "";
  const count = calls().filter((call) => call.approach === name).length, last = page.day.at(-1)?.[3][row()];
  at("chart").setAttribute("aria-label", `Level and calls of ${name} over 24 hours: ${count} calls`
    + (typeof last === "number" ? `, noise floor ${loudness(last, page.about, 1)}` : ""));
}

function zoom(button) {
  document.querySelectorAll("#zoom button").forEach((each) => each.setAttribute("aria-pressed", each === button));
  page.isZoomed = false;
  if (page.about) drawDay();
}

function repaint() {
  drawRamp(at("ramp"), isDark());
  draw();
  drawDay();
}

function watch() {
  const silent = (Date.now() - Math.max(page.heardAt, page.opened)) / 1000, stale = silent > STALE_S;
  document.body.classList.toggle("is-stale", stale);
  const lost = page.source.readyState !== EventSource.OPEN;
  const text = !stale ? "" : lost ? "The connection to sirend is lost. What you see is old."
    : `No sound has been scored for ${Math.round(silent)} s. What you see is old.`;
  at("stale").hidden = !stale;
  if (at("stale").textContent.replace(/\d+/, "") !== text.replace(/\d+/, "")) at("stale").textContent = text;
  if (page.source.readyState === EventSource.CLOSED) open();
}

function open() {
  page.source = new EventSource("/api/stream");
  const handlers = { about: showAbout, health: showHealth, moments: takeMoments, selftest: showTest, day: showDay,
    calls: (made) => { showCalls(made, page.about); drawDay(); } };
  for (const [kind, handler] of Object.entries(handlers)) {
    page.source.addEventListener(kind, (message) => handler(JSON.parse(message.data)));
  }
}

function wear(name) {
  document.documentElement.dataset.theme = name;
  repaint();
}

at("shown").addEventListener("change", () => { page.isChosen = true; choose(at("shown").value); });
at("theme").addEventListener("click", () => { localStorage.theme = isDark() ? "light" : "dark"; wear(localStorage.theme); });
document.querySelectorAll("#zoom button").forEach((each) => each.addEventListener("click", () => zoom(each)));
at("chart").addEventListener("mouseup", () => { page.isZoomed = true; });
WIDE.addEventListener("change", layOut);
DARK.addEventListener("change", () => localStorage.theme ?? wear(DARK.matches ? "dark" : "light"));
document.addEventListener("visibilitychange", draw);
wear(localStorage.theme ?? (DARK.matches ? "dark" : "light"));
zoom(document.querySelector("#zoom button"));
open();
setInterval(watch, 500);
