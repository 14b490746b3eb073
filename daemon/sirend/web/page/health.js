// How the daemon is, each fault with what to do about it; and what it runs on.
import { at, make, pairs, span } from "/dom.js";

const WORDS = { ok: "OK: listening", degraded: "Degraded", failed: "FAILED: not listening", starting: "Starting" };
const HINTS = [
  ["input lost", "The microphone gives no sound. Check its cable and power; calls are cleared until it is back."],
  ["no window scored", "Two seconds of sound are needed first. If this stays, no sound arrives."],
  ["samples were dropped", "The computer is too slow or too hot at times; sound was missed."],
  ["digital silence", "Not even noise arrives. Check the cable, the mute switch and the recording level."],
  ["calls are held back", "More calls than call.max_calls_per_hour: look for what sounds like a siren here."],
  ["a siren outlasted", "A siren, or something like it, never stops. No new call until it does."],
  ["broker", "Events do not reach the signal controller. Check network, address and password of the broker."],
  ["the journal", "The local record cannot be written. Check the disk; calls go on without it."],
  ["metrics", "Numbers for Prometheus are not served; calls go on without."],
  ["clips", "A call's sound or picture was not kept. Check the disk; calls go on without it."],
  ["stopped", "The daemon was told to stop."],
];

export function showHealth(health) {
  const state = health.state ?? "starting", pill = at("health"), reasons = health.reasons ?? [];
  pill.className = `pill ${state}`;
  if (pill.textContent !== WORDS[state]) pill.textContent = WORDS[state];
  at("reasons").hidden = !reasons.length;
  const told = reasons.map((reason) => {
    const hint = HINTS.find(([beginning]) => reason.includes(beginning));
    return hint ? `${reason}. ${hint[1]}` : reason;
  });
  if (told.join() !== at("reasons").dataset.told) at("reasons").replaceChildren(...told.map((each) => make("li", each)));
  at("reasons").dataset.told = told.join();
  if (!health.state) return;
  const unit = (value, name) => (value === null ? "not known" : `${value} ${name}`), broker = health.outbox;
  pairs(at("numbers"), [["Broker", broker.connected ? `connected, ${broker.published} messages delivered` : "not connected"],
    ["Lost on the way", String(broker.dropped_expired + broker.dropped_full + broker.refused)],
    ["Sound lost", `${(health.dropped_samples / 16000).toFixed(2)} s, ${health.gaps} gaps`],
    ["Processor", unit(health.cpu_percent, "% of one core")], ["Memory", unit(health.rss_mb, "MB")],
    ["Temperature", unit(health.temperature_c, "°C")], ["Running for", span(health.uptime_s)]]);
}

export function showFacts(about) {
  pairs(at("about"), [["Input", about.device], ["Model", about.model], ["Version", about.version],
    ["Thresholds", `a siren is heard from ${about.enter} and gone below ${about.exit}`]]);
}
