// Where the siren is, at a site with an array: the sectors of the legs, the bearing with its uncertainty, and its way.
import { at, make } from "/dom.js";

const RIM = 88, TRAIL_S = 15, LONGEST = 12;
const apart = (one, other) => Math.abs(((one - other + 540) % 360) - 180);
const place = (deg, radius) => [radius * Math.sin(deg * Math.PI / 180), -radius * Math.cos(deg * Math.PI / 180)];
const point = (deg, radius) => place(deg, radius).map((each) => each.toFixed(1)).join(" ");
const legs = (about) => about.approaches.filter((each) => each.bearing_deg !== null);

function draw(tag, attributes, text) {
  const made = document.createElementNS(at("rose").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function wedge(from_deg, until_deg, inner) {
  const large = until_deg - from_deg > 180 ? 1 : 0;
  return `M${point(from_deg, inner)} L${point(from_deg, RIM)} A${RIM} ${RIM} 0 ${large} 1 ${point(until_deg, RIM)} L${point(until_deg, inner)}`
    + (inner ? ` A${inner} ${inner} 0 ${large} 0 ${point(from_deg, inner)} Z` : " Z");
}

export function showSectors(about) {
  at("compass").hidden = !about.has_array;
  if (!about.has_array) return;
  const sectors = legs(about).map((leg) => {
    const made = draw("g", { class: "sector", "data-leg": leg.name }), [x, y] = place(leg.bearing_deg, 60), half = Math.min(leg.width_deg / 2, 179.9);
    made.append(draw("path", { d: wedge(leg.bearing_deg - half, leg.bearing_deg + half, 34) }),
      draw("text", { x, y: y + 4 }, leg.name.length > LONGEST ? `${leg.name.slice(0, LONGEST - 1)}…` : leg.name));
    return made;
  });
  const marks = Array.from({ length: 12 }, (_, number) => draw("path", { class: "tick", d: `M${point(30 * number, RIM)} L${point(30 * number, RIM + 5)}` }));
  const letters = ["N", "E", "S", "W"].map((name, number) => draw("text", { class: "letter", x: place(90 * number, 103)[0], y: place(90 * number, 103)[1] + 5 }, name));
  at("rose").replaceChildren(...sectors, ...marks, ...letters, draw("g", { id: "way" }));
}

// Return the leg in whose sector a bearing lies, or undefined.
export function legOf(about, bearing) {
  const inside = bearing ? legs(about).filter((leg) => apart(bearing.deg, leg.bearing_deg) <= leg.width_deg / 2) : [];
  return inside.sort((one, other) => apart(bearing.deg, one.bearing_deg) - apart(bearing.deg, other.bearing_deg))[0]?.name;
}

// Return whether a card may say that it hears a siren, which all of one array do: its leg's, or while there is none, that of all round;
// and nobody's while the siren is called.
export function listens(about, name, bearing, called) {
  if (!about.has_array) return true;
  if (called) return false;
  const leg = legOf(about, bearing), round = about.approaches.find((each) => each.bearing_deg === null);
  return leg === undefined ? round === undefined || round.name === name : leg === name;
}

function words(about, latest, called) {
  if (!latest.bearing) {
    if (called !== undefined) return "its direction is not known now";
    return latest.heard.some((each) => each.evidence >= about.enter) ? "a siren, its direction is not known" : "no siren";
  }
  const { deg, sd_deg: sd } = latest.bearing, leg = legOf(about, latest.bearing);
  return `siren at ${Math.round(deg) % 360}° ± ${Math.round(sd)}°, ${leg === undefined ? "between the sectors" : `in the sector of ${leg}`}`;
}

export function showBearing(about, moments) {
  const latest = moments.at(-1);
  if (!about.has_array || !latest) return;
  const called = latest.heard.find((each) => each.call === "approaching")?.approach, way = [];
  for (const moment of moments.slice(-TRAIL_S / about.hop_s)) {
    const age = (latest.end_s - moment.end_s) / TRAIL_S;
    if (!moment.bearing || moment === latest) continue;
    const [cx, cy] = place(moment.bearing.deg, RIM * (1 - age));
    way.push(draw("circle", { cx: cx.toFixed(1), cy: cy.toFixed(1), r: 2.5, class: "past", opacity: (1 - 0.7 * age).toFixed(2) }));
  }
  if (latest.bearing) {
    const { deg, sd_deg: sd } = latest.bearing, half = Math.max(1, Math.min(sd, 179.9));
    way.push(draw("path", { class: "doubt", d: wedge(deg - half, deg + half, 0) }), draw("path", { class: "needle", d: `M0 0 L${point(deg, RIM + 4)}` }));
  }
  document.getElementById("way").replaceChildren(...way);
  document.querySelectorAll(".sector").forEach((each) => each.classList.toggle("called", each.dataset.leg === called));
  const said = words(about, latest, called) + (called === undefined ? "" : `; ${called} is called`);
  if (at("direction").dataset.said === said) return;
  at("direction").dataset.said = said;
  at("direction").replaceChildren(...said.split("; ").map((each) => make("span", each)));
  at("rose").setAttribute("aria-label", `Compass: ${said.replace("°", " degrees").replace("± ", "plus or minus ").replace("°", " degrees")}`);
}
