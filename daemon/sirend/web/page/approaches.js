// One card for each approach, in the configured order. A card says one thing.
import { listens } from "/compass.js";
import { at, make, nearest } from "/dom.js";
import { loudness, shift, unit } from "/loudness.js";

const place = (dbfs) => `${Math.max(0, Math.min(100, dbfs + 100))}%`;
const CALLED = { departing: "EMERGENCY DRIVING AWAY", stationary: "EMERGENCY STANDING STILL" };
const UNSAID = ["unknown", "mixed"];
const said = {};

export function showCards(about) {
  at("approaches").replaceChildren(...about.approaches.map((approach) => card(approach, about)));
  at("approaches").classList.toggle("alone", about.approaches.length === 1);
  if (!about.has_array) return;
  const one = about.approaches.find((each) => each.bearing_deg === null) ?? about.approaches[0];  // one level is heard for all
  document.querySelectorAll(`.approach:not([data-approach="${one.name}"]) :is(.meter, .figures)`).forEach((each) => { each.hidden = true; });
}

function hearing(approach, has_array) {
  const { bearing_deg: middle, width_deg: width } = approach, turn = (deg) => Math.round(deg + 360) % 360;
  if (has_array) return middle === null ? "all round" : `${turn(middle - width / 2)}° to ${turn(middle + width / 2)}°`;
  return `channel ${approach.channel}${middle === null ? "" : `, from ${middle}°`}`;
}

function card(approach, about) {
  const made = make("article", undefined, "approach"), title = make("h3", approach.name);
  made.dataset.approach = approach.name;
  title.append(make("span", hearing(approach, about.has_array)));
  const meter = make("div", undefined, "meter");
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", `Level of ${approach.name}, ${unit(about)}`);
  meter.setAttribute("aria-valuemin", -100);
  meter.setAttribute("aria-valuemax", 0);
  meter.setAttribute("aria-valuenow", -100);
  meter.append(make("div", undefined, "bar"), make("div", undefined, "floor"), make("div", undefined, "limit"), make("div", undefined, "peak"));
  const clip = make("span", "CLIPPING: too loud, lower the recording level", "clip");
  clip.hidden = true;
  made.append(title, make("p", "no sound yet", "state"), make("p", "", "eta"), meter, make("p", "", "figures"), clip);
  return made;
}

// What a card says: the call that stands and the way of its siren in one, or what is heard.
export function words(heard, enter) {
  if (heard.call === "approaching") return CALLED[heard.motion] ?? "EMERGENCY APPROACHING";
  return heard.evidence >= enter ? "siren heard, not called" : "clear";
}

// And what it adds of a siren that is called: the kind, where that is known. Others say as much as fits a telephone's first screen.
const kind = (heard, text) => (heard.call !== "approaching" || UNSAID.includes(heard.tone ?? "unknown") ? text : `${text}: ${heard.tone}`);

// Show when the siren of a call will be nearest, while that is known; a screen reader is told once in a call, and may read it anew.
function showNearest(line, heard, text) {
  if (line.dataset.text !== text) line.replaceChildren(...text.split(/(?<= )(?=\()/).map((part) => make("span", part)));
  line.dataset.text = text;
  if (text && !line.dataset.told) at("said").textContent = `${heard.approach}: ${words(heard)}, ${text}`;
  if (text || heard.call !== "approaching") line.dataset.told = text;
}

export function showHeard(heard, about, bearing, called) {
  const made = document.querySelector(`[data-approach="${heard.approach}"]`), calls = heard.call === "approaching";
  const hears = calls || (heard.evidence >= about.enter && listens(about, heard.approach, bearing, called));
  const text = hears ? words(heard, about.enter) : "clear", level = heard.hop_dbfs ?? heard.level_dbfs, meter = made.querySelector(".meter");
  made.classList.toggle("approaching", calls);
  made.classList.toggle("hearing", !calls && hears);
  made.querySelector(".state").textContent = kind(heard, text);
  if (said[heard.approach] !== text) {
    if (calls || said[heard.approach] !== undefined) at("said").textContent = `${heard.approach}: ${text}`;
    said[heard.approach] = text;
  }
  showNearest(made.querySelector(".eta"), heard, calls ? nearest(heard) : "");
  meter.setAttribute("aria-valuenow", Math.max(-100, Math.min(0, level)));
  meter.setAttribute("aria-valuetext", `${loudness(level, about)}, noise floor ${Math.round(heard.floor_dbfs + shift(about))}`);
  meter.querySelector(".bar").style.width = place(level);
  meter.querySelector(".floor").style.left = place(heard.floor_dbfs);
  meter.querySelector(".peak").style.left = `calc(${place(heard.peak_dbfs ?? level)} - 3px)`;
  if (heard.clipped) made.dataset.clippedAt = Date.now();
  made.querySelector(".clip").hidden = !(Date.now() - (made.dataset.clippedAt ?? 0) < 3000);
  made.querySelector(".figures").replaceChildren(make("span", `${loudness(level, about)}, floor ${(heard.floor_dbfs + shift(about)).toFixed(0)};`), " ",
    make("span", `evidence ${Math.round(100 * heard.evidence)} %`));
}
