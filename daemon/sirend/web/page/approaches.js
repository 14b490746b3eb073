// One card for each approach, in the configured order. A card says one thing.
import { at, make } from "/dom.js";

const place = (dbfs) => `${Math.max(0, Math.min(100, dbfs + 100))}%`;
const CALLED = { departing: "EMERGENCY DRIVING AWAY", stationary: "EMERGENCY STANDING STILL" };
const said = {};

export function showCards(approaches) {
  at("approaches").replaceChildren(...approaches.map(card));
  at("approaches").classList.toggle("alone", approaches.length === 1);
}

function card(approach) {
  const made = make("article", undefined, "approach"), title = make("h3", approach.name);
  made.dataset.approach = approach.name;
  const bearing = approach.bearing_deg === null ? "" : `, from ${approach.bearing_deg}°`;
  title.append(make("span", `channel ${approach.channel}${bearing}`));
  const meter = make("div", undefined, "meter");
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", `Level of ${approach.name}, dBFS`);
  meter.setAttribute("aria-valuemin", -100);
  meter.setAttribute("aria-valuemax", 0);
  meter.setAttribute("aria-valuenow", -100);
  meter.append(make("div", undefined, "bar"), make("div", undefined, "floor"), make("div", undefined, "limit"), make("div", undefined, "peak"));
  const clip = make("span", "CLIPPING: too loud, lower the recording level", "clip");
  clip.hidden = true;
  made.append(title, make("p", "no sound yet", "state"), meter, make("p", "", "figures"), clip);
  return made;
}

// What a card says: the call that stands and the way of its siren in one, or what is heard.
export function words(heard, enter) {
  if (heard.call === "approaching") return CALLED[heard.motion] ?? "EMERGENCY APPROACHING";
  return heard.evidence >= enter ? "siren heard, not called" : "clear";
}

export function showHeard(heard, about) {
  const made = document.querySelector(`[data-approach="${heard.approach}"]`), calls = heard.call === "approaching";
  const text = words(heard, about.enter), level = heard.hop_dbfs ?? heard.level_dbfs, meter = made.querySelector(".meter");
  made.classList.toggle("approaching", calls);
  made.classList.toggle("hearing", !calls && heard.evidence >= about.enter);
  made.querySelector(".state").textContent = text;
  if (said[heard.approach] !== text) {
    if (calls || said[heard.approach] !== undefined) at("said").textContent = `${heard.approach}: ${text}`;
    said[heard.approach] = text;
  }
  meter.setAttribute("aria-valuenow", Math.max(-100, Math.min(0, level)));
  meter.setAttribute("aria-valuetext", `${Math.round(level)} dBFS, noise floor ${Math.round(heard.floor_dbfs)}`);
  meter.querySelector(".bar").style.width = place(level);
  meter.querySelector(".floor").style.left = place(heard.floor_dbfs);
  meter.querySelector(".peak").style.left = `calc(${place(heard.peak_dbfs ?? level)} - 3px)`;
  if (heard.clipped) made.dataset.clippedAt = Date.now();
  made.querySelector(".clip").hidden = !(Date.now() - (made.dataset.clippedAt ?? 0) < 3000);
  made.querySelector(".figures").textContent =
    `${level.toFixed(0)} dBFS, floor ${heard.floor_dbfs.toFixed(0)}; evidence ${Math.round(100 * heard.evidence)} %`;
}
