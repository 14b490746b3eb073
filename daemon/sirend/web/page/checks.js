// What a person on the spot tries: the clap test of each microphone, and the self-test.
import { at, make } from "/dom.js";

const CLAP_S = 15;
const ARRAY = "The microphones of an array are too close together to tell apart by ear: walk round it clapping with the command sirend bearing.";
let clap = null;

export function showClaps(about, now_s) {
  if (about.has_array) at("clap-how").textContent = ARRAY;
  at("claps").replaceChildren(...(about.has_array ? [] : about.approaches).map((approach) => {
    const made = make("button", `Test ${approach.name}`);
    made.type = "button";
    made.addEventListener("click", () => begin(approach.name, now_s()));
    return made;
  }));
}

function begin(name, from_s) {
  clearTimeout(clap?.timer);
  const missed = `No clap was heard within ${CLAP_S} s. Clap louder and nearer, or check the cable of ${name}.`;
  clap = { name, from_s, timer: setTimeout(() => end(missed), CLAP_S * 1000) };
  at("clapped").textContent = `Clap now at the microphone of ${name}.`;
}

export function hearClap(moment) {
  if (!clap || !moment.clap || moment.end_s <= clap.from_s) return;
  const heard = moment.clap.approach, { name } = clap;
  if (heard === name) end(`Right: ${name} heard the clap.`);
  else if (heard) end(`Wrong channel: ${heard} heard the clap, not ${name}. Swap their cables or their channels.`);
  else end("Several microphones heard it about equally loud. Clap nearer to one of them.");
}

function end(text) {
  clearTimeout(clap.timer);
  clap = null;
  at("clapped").textContent = text;
}

async function ask() {
  at("test").disabled = true;
  try {
    const answer = await fetch("/api/selftest", { method: "POST" });
    if (!answer.ok) at("tested").textContent = await answer.text();
  } catch {
    at("tested").textContent = "sirend does not answer. Is the connection lost?";
  }
  at("test").disabled = false;
}

export function showTest({ running, result }) {
  if (running) at("tested").textContent = "Running. It takes some seconds, on a small computer a minute.";
  else if (result) {
    const when = new Date(result.at).toLocaleString();
    at("tested").textContent = result.passed
      ? `Passed, ${when}: the built-in siren was called ${result.delay_s.toFixed(1)} s after it became audible.`
      : `FAILED, ${when}: ${result.problem}. Do not rely on this site; sirend check tells more.`;
  }
}

at("test").addEventListener("click", ask);
