// The few words in which the page is written.
export const at = (id) => document.getElementById(id);

export function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

export const time = (text) => new Date(text).toLocaleTimeString([], { hourCycle: "h23" });
export const day = (text, more = {}) => new Date(text).toLocaleDateString([], { day: "numeric", month: "short", ...more });

// Return a time of today, with its day where it was another.
export function clock(text) {
  const isToday = new Date(text).toDateString() === new Date().toDateString();
  return isToday ? time(text) : `${day(text)} ${time(text)}`;
}

export function span(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  return days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.round(seconds)} s`;
}

// Say when a siren will be nearest, by a moment or an event, in the words of `sirend events`; nothing where that is not known.
export const nearest = ({ eta_s: eta, eta_low_s: low, eta_high_s: high }) => (typeof eta !== "number" ? ""
  : `nearest in ${Math.round(eta)} s (${Math.round(low)} to ${Math.round(high)})`);
