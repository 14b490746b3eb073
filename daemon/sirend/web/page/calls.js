// What happened: the calls of 24 hours, newest first, and one of them in a dialog with its picture, sound and lead.
import { at, clock, day, make, nearest, pairs, span, time } from "/dom.js";
import { loudness } from "/loudness.js";

const FIRST = 3, DAY_MS = 86400e3;
const REASONS = { quiet: "the siren was gone", departed: "it drove away", max_presence: "call.max_presence_s was reached",
  input_lost: "the input was lost", inhibited: "calls are inhibited now", shutdown: "sirend was stopped" };
const WIDE = matchMedia("(min-width: 60rem)");
const kept = { calls: [], all: false, open: null, about: {} };

export const since = (call) => Date.parse(call.at) / 1000;
export const until = (call) => (call.ended_at ? Date.parse(call.ended_at) / 1000 : call.stands ? Date.now() / 1000 : since(call));
export const calls = () => kept.calls;

export function showCalls(made, about) {
  kept.about = about;
  kept.calls = made.filter((call) => Date.now() - Date.parse(call.at) < DAY_MS);
  list();
  const open = at("call").open && kept.calls.find((call) => call.event_id === kept.open?.event_id);
  if (open && JSON.stringify(open) !== JSON.stringify(kept.open)) showCall(open);
}

function list() {
  const newest = [...kept.calls].reverse(), shown = kept.all ? newest : newest.slice(0, WIDE.matches ? 12 : FIRST);
  const many = newest.length === 1 ? "1 call" : `${newest.length} calls`;
  at("summary").textContent = newest.length ? `${many} in 24 hours, the last on ${newest[0].approach} at ${clock(newest[0].at)}` : "No call in 24 hours.";
  at("events").replaceChildren(...shown.map(row));
  at("more").hidden = kept.all || shown.length === newest.length;
}

function row(call) {
  const item = make("li"), button = make("button"), text = make("span");
  button.type = "button";
  text.append(make("b", call.approach), make("br"), make("small", ending(call), call.stands ? "stands" : undefined));
  const file = [["png", "picture"], ["flac", "sound"]].filter(([kind]) => call.kept.includes(kind)).map(([, name]) => name);
  const right = make("small", [...(call.advisory ? ["advisory"] : []), ...file].join(", "));
  button.append(make("span", clock(call.at)), text, right);
  button.addEventListener("click", () => showCall(call));
  item.append(button);
  return item;
}

const ending = (call) => call.stands ? "called now"
  : call.ended_at ? `called ${span(until(call) - since(call))}; ${REASONS[call.reason] ?? call.reason}` : "called; sirend was cut off in it";

// Open a call: its times, its picture and sound where they are kept, and the lead, by which it came before the loudest moment.
export async function showCall(call) {
  kept.open = call;
  at("call-title").textContent = `Call on ${call.approach}, ${day(call.at, { year: "numeric" })}, ${time(call.at)}`;
  const facts = [["Heard first", clock(call.onset_at)], ["Called", `${clock(call.at)}, ${(since(call) - Date.parse(call.onset_at) / 1000).toFixed(1)} s later`],
    ["Ended", call.ended_at ? `${clock(call.ended_at)}, after ${span(until(call) - since(call))}: ${REASONS[call.reason] ?? call.reason}` : ending(call)],
    ["Evidence", `${Math.round(100 * call.confidence)} % at the call, level ${loudness(call.level_dbfs, kept.about, 1)}`]];
  if (call.tone && call.tone !== "unknown") facts.push(["Siren", call.tone]);
  if (typeof call.bearing_deg === "number") facts.push(["Bearing", `${Math.round(call.bearing_deg)}° ± ${Math.round(call.bearing_sd_deg ?? 0)}° at the call`]);
  if (nearest(call)) facts.push(["Time left", `${nearest(call)}, said at the call`]);
  if (call.advisory) facts.push(["Advisory", "the controller was not to act on it"]);
  pairs(at("call-facts"), facts);
  const picture = at("call-picture"), sound = at("call-sound"), path = `/clips/${call.name}`;
  picture.hidden = !call.kept.includes("png");
  sound.hidden = !call.kept.includes("flac");
  show(picture, picture.hidden ? null : `${path}.png`);
  at("call-large").hidden = picture.hidden;
  at("call-large").href = `${path}.png`;
  picture.alt = `Spectrogram, pitch, score, level and decisions of the call on ${call.approach}`;
  show(sound, sound.hidden ? null : `${path}.flac`);
  sound.setAttribute("aria-label", `Sound of the call on ${call.approach}`);
  at("call-kept").textContent = call.kept.length ? "" : "No picture or sound of it is kept: clips.enabled is off, or it has become too old.";
  if (!at("call").open) at("call").showModal();
  if (!call.kept.includes("json")) return;
  const answer = await fetch(`${path}.json`);
  if (answer.ok) pairs(at("call-facts"), [...facts, ["Lead", lead(await answer.json())]]);
}

function show(element, source) {  // what is shown already is not begun again
  if (!source) element.removeAttribute("src");
  else if (element.getAttribute("src") !== source) element.src = source;
}

// Say how long the call came before the loudest window, which is about when the vehicle passes.
const lead = ({ lead_s }) => typeof lead_s !== "number" ? "not known: the call outlasted its clip"
  : lead_s > 0 ? `${lead_s.toFixed(1)} s before the siren was loudest` : `${(-lead_s).toFixed(1)} s after the siren was loudest`;

at("close").addEventListener("click", () => at("call").close());
at("call").addEventListener("close", () => at("call-sound").pause());
at("more").addEventListener("click", () => { kept.all = true; list(); });
WIDE.addEventListener("change", list);
