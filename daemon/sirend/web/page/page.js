// Draws what /api/stream tells. One state object, one function for each part of the page.
"use strict";

const SHOWN_S = 20, QUIET_DB = 45, STALE_S = 3, CLAP_S = 15;
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
const page = { about: null, moments: [], columns: {}, shown: null, clap: null, heardAt: 0, opened: Date.now(), said: {} };
const at = (id) => document.getElementById(id);

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

function showAbout(about) {
  page.about = about;
  page.moments = [];
  page.columns = Object.fromEntries(about.approaches.map((each) => [each.name, []]));
  page.shown = page.shown in page.columns ? page.shown : about.approaches[0].name;
  document.title = `sirend ${about.site}`;
  at("site").textContent = about.site;
  at("advisory").hidden = !about.advisory;
  at("past").textContent = `${SHOWN_S} s ago`;
  at("thresholds").textContent = `${about.enter} and ${about.exit}`;
  at("approaches").replaceChildren(...about.approaches.map(card));
  at("choice").hidden = about.approaches.length < 2;
  at("shown").replaceChildren(...about.approaches.map((each) => new Option(each.name, each.name)));
  at("shown").value = page.shown;
  at("claps").replaceChildren(...about.approaches.map(clapButton));
  pairs(at("about"), [["Input", about.device], ["Model", about.model], ["Version", about.version],
    ["Bands", `${about.bands} from ${about.low_hz} to ${about.high_hz} Hz`]]);
}

function card(approach) {
  const made = make("article", undefined, "approach");
  made.dataset.approach = approach.name;
  const bearing = approach.bearing_deg === null ? "" : `, from ${approach.bearing_deg}°`;
  made.append(make("h3", `${approach.name} (channel ${approach.channel}${bearing})`), make("p", "no sound yet", "state"));
  const meter = make("div", undefined, "meter");
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", `Level of ${approach.name}, dBFS`);
  meter.setAttribute("aria-valuemin", -100);
  meter.setAttribute("aria-valuemax", 0);
  meter.append(make("div", undefined, "bar"), make("div", undefined, "floor"), make("div", undefined, "limit"), make("div", undefined, "peak"));
  const clip = make("span", "CLIPPING: too loud, lower the recording level", "clip");
  clip.hidden = true;
  made.append(meter, make("p", "", "figures"), clip);
  return made;
}

const place = (dbfs) => `${Math.max(0, Math.min(100, dbfs + 100))}%`;

function showHeard(heard) {
  const made = document.querySelector(`[data-approach="${heard.approach}"]`);
  const calls = heard.call === "approaching";
  const words = calls ? "EMERGENCY APPROACHING" : heard.evidence >= page.about.enter ? "siren heard" : "clear";
  made.classList.toggle("approaching", calls);
  made.querySelector(".state").textContent = words;
  if (page.said[heard.approach] !== calls) {
    page.said[heard.approach] = calls;
    at("said").textContent = `${heard.approach}: ${words}`;
  }
  const level = heard.hop_dbfs ?? heard.level_dbfs, meter = made.querySelector(".meter");
  meter.setAttribute("aria-valuenow", level);
  meter.setAttribute("aria-valuetext", `${Math.round(level)} dBFS, noise floor ${Math.round(heard.floor_dbfs)}`);
  meter.querySelector(".bar").style.width = place(level);
  meter.querySelector(".floor").style.left = place(heard.floor_dbfs);
  meter.querySelector(".peak").style.left = `calc(${place(heard.peak_dbfs ?? level)} - 3px)`;
  if (heard.clipped) made.dataset.clippedAt = Date.now();
  made.querySelector(".clip").hidden = !(Date.now() - (made.dataset.clippedAt ?? 0) < 3000);
  const motion = heard.motion === "unknown" ? "" : `, ${heard.motion}`;
  made.querySelector(".figures").textContent =
    `${level.toFixed(0)} dBFS, peak ${(heard.peak_dbfs ?? level).toFixed(0)}, noise floor ${heard.floor_dbfs.toFixed(0)}`
    + ` · evidence ${Math.round(100 * heard.evidence)} %${motion}`;
}

function takeMoments(moments) {
  if (!page.about) return;
  for (const moment of moments) {
    page.moments.push(moment);
    for (const heard of moment.heard) {
      const bytes = heard.columns ? Uint8Array.from(atob(heard.columns), (char) => char.charCodeAt(0)) : null;
      page.columns[heard.approach].push({ end_s: moment.end_s, bytes });
      if (page.columns[heard.approach].length > SHOWN_S / page.about.hop_s) page.columns[heard.approach].shift();
      delete heard.columns;
    }
    if (page.clap && moment.clap && moment.end_s > page.clap.from_s) judgeClap(moment.clap.approach);
  }
  page.moments.splice(0, page.moments.length - SHOWN_S / page.about.hop_s);
  if (!moments.length) return;
  page.heardAt = Date.now();
  page.moments.at(-1).heard.forEach(showHeard);
  draw();
}

function draw() {
  const latest = page.moments.at(-1), mine = latest.heard.find((each) => each.approach === page.shown);
  drawSpectrogram(at("spectrogram"), page.columns[page.shown], latest.end_s);
  drawScores(at("scores"), latest.end_s);
  if (page.moments.length % 8 === 0 || !draw.said) {
    draw.said = true;
    at("spectrogram").setAttribute("aria-label", `Spectrogram of ${page.shown}, the last ${SHOWN_S} seconds`);
    at("scores").setAttribute("aria-label", `Evidence of a siren on ${page.shown}: ${Math.round(100 * mine.evidence)} percent`);
  }
}

function colour(value) {  // black, violet, orange, yellow: brighter is louder, also without seeing colours
  const low = Math.min(1, value * 1.6), high = Math.max(0, value * 1.6 - 0.6);
  return [low * 220 + high * 35, high * 200 + low * 30, 110 * low * (1 - high) + 60 * high];
}

function fitted(canvas) {  // as many pixels as the screen has, so that words stay legible on a phone
  const scale = window.devicePixelRatio, width = Math.round(canvas.clientWidth * scale);
  if (canvas.width !== width) {
    canvas.width = width;
    canvas.height = Math.round(canvas.clientHeight * scale);
  }
  const pen = canvas.getContext("2d");
  pen.font = `bold ${15 * scale}px sans-serif`;
  return pen;
}

function drawSpectrogram(canvas, hops, now_s) {
  const { bands, hop_s } = page.about, known = hops.filter((hop) => hop.bytes);
  if (!known.length) return;
  const perHop = known[0].bytes.length / bands, width = Math.round(SHOWN_S / hop_s * perHop);
  const sorted = Uint8Array.from(known.flatMap((hop) => [...hop.bytes])).sort();
  const floor = sorted[Math.floor(sorted.length * 0.3)], span = QUIET_DB / 110 * 255;
  const image = new ImageData(width, bands);
  for (const hop of hops) {
    if (!hop.bytes) continue;
    const first = Math.round(width - (now_s - hop.end_s + hop_s) / hop_s * perHop);
    for (let column = 0; column < perHop; column += 1) {
      for (let band = 0; band < bands; band += 1) {
        const value = Math.max(0, Math.min(1, (hop.bytes[column * bands + band] - floor) / span));
        const x = first + column, y = bands - 1 - band;
        if (x >= 0 && x < width) image.data.set([...colour(value), 255], 4 * (y * width + x));
      }
    }
  }
  const small = new OffscreenCanvas(width, bands), pen = fitted(canvas);
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  pen.lineWidth = 4;
  for (const hz of [500, 1000, 2000, 4000]) {
    const mel = (f) => Math.log1p(f / 700), { low_hz, high_hz } = page.about;
    const y = canvas.height * (1 - (mel(hz) - mel(low_hz)) / (mel(high_hz) - mel(low_hz)));
    const text = hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`;
    pen.strokeStyle = "#000";
    pen.strokeText(text, 8, y + 6);
    pen.fillStyle = "#fff";
    pen.fillText(text, 8, y + 6);
  }
}

function drawScores(canvas, now_s) {
  const pen = fitted(canvas), { width, height } = canvas;
  const x = (s) => width * (1 - (now_s - s) / SHOWN_S), y = (value) => height - 8 - value * (height - 16);
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  const mine = page.moments.map((moment) => [moment.end_s, moment.heard.find((each) => each.approach === page.shown)]);
  pen.fillStyle = "#f4b6be";
  for (const [end_s, heard] of mine) {
    if (heard.call === "approaching") pen.fillRect(x(end_s - page.about.hop_s), 0, x(end_s) - x(end_s - page.about.hop_s) + 1, height);
  }
  for (const [name, value] of [["enter", page.about.enter], ["exit", page.about.exit]]) {
    line([[0, value], [width, value]].map(([px, v]) => [px, y(v)]), "#000", 2, [8, 6]);
    pen.fillStyle = "#000";
    pen.fillText(`${name} ${value}`, 8, y(value) - 5);
  }
  line(mine.map(([s, heard]) => [x(s), y(heard.score)]), "#0b57d0", 2, []);
  line(mine.map(([s, heard]) => [x(s), y(heard.evidence)]), "#b00020", 5, []);

  function line(points, stroke, thick, dash) {
    pen.beginPath();
    points.forEach(([px, py]) => pen.lineTo(px, py));
    pen.strokeStyle = stroke;
    pen.lineWidth = thick;
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  }
}

function clapButton(approach) {
  const made = make("button", `Test ${approach.name}`);
  made.type = "button";
  made.addEventListener("click", () => {
    const from_s = page.moments.at(-1)?.end_s ?? 0;
    clearTimeout(page.clap?.timer);
    page.clap = { name: approach.name, from_s, timer: setTimeout(() => endClap(
      `No clap was heard within ${CLAP_S} s. Clap louder and nearer, or check the cable of ${approach.name}.`), CLAP_S * 1000) };
    at("clapped").textContent = `Clap now at the microphone of ${approach.name}.`;
  });
  return made;
}

function judgeClap(name) {
  const wanted = page.clap.name;
  if (name === wanted) endClap(`Right: ${wanted} heard the clap.`);
  else if (name) endClap(`Wrong channel: ${name} heard the clap, not ${wanted}. Swap their cables or their channels.`);
  else endClap("Several microphones heard it about equally loud. Clap nearer to one of them.");
}

function endClap(text) {
  clearTimeout(page.clap.timer);
  page.clap = null;
  at("clapped").textContent = text;
}

async function askForTest() {
  at("test").disabled = true;
  try {
    const answer = await fetch("/api/selftest", { method: "POST" });
    if (!answer.ok) at("tested").textContent = await answer.text();
  } catch {
    at("tested").textContent = "sirend does not answer. Is the connection lost?";
  }
  at("test").disabled = false;
}

function showTest({ running, result }) {
  if (running) at("tested").textContent = "Running. It takes some seconds, on a small computer a minute.";
  else if (result) {
    const when = new Date(result.at).toLocaleString();
    at("tested").textContent = result.passed
      ? `Passed, ${when}: the built-in siren was called ${result.delay_s.toFixed(1)} s after it became audible.`
      : `FAILED, ${when}: ${result.problem}. Do not rely on this site; sirend check tells more.`;
  }
}

function showHealth(health) {
  const state = health.state ?? "starting", pill = at("health");
  const words = { ok: "OK: listening", degraded: "Degraded", failed: "FAILED: not listening", starting: "Starting" };
  pill.className = `pill ${state}`;
  if (pill.textContent !== words[state]) pill.textContent = words[state];
  const reasons = health.reasons ?? [];
  at("reasons").replaceChildren(...(reasons.length ? reasons : ["Everything works."]).map((reason) => {
    const hint = HINTS.find(([beginning]) => reason.includes(beginning));
    return make("li", hint ? `${reason}. ${hint[1]}` : reason);
  }));
  if (!health.state) return;
  const unit = (value, name) => (value === null ? "not known" : `${value} ${name}`);
  const broker = health.outbox;
  pairs(at("numbers"), [["Broker", broker.connected ? `connected, ${broker.published} messages delivered` : "not connected"],
    ["Lost on the way", String(broker.dropped_expired + broker.dropped_full + broker.refused)],
    ["Sound lost", `${(health.dropped_samples / 16000).toFixed(2)} s, ${health.gaps} gaps`],
    ["Processor", unit(health.cpu_percent, "% of one core")], ["Memory", unit(health.rss_mb, "MB")],
    ["Temperature", unit(health.temperature_c, "°C")], ["Running for", duration(health.uptime_s)]]);
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  return days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min` : `${Math.round(seconds)} s`;
}

function showEvents(events) {
  if (!events.length) return;
  at("events").replaceChildren(...[...events].reverse().map((event) => {
    const row = make("tr"), call = event.state === "approaching";
    const picture = make("td");
    if (event.picture) {
      const link = make("a", "picture");
      link.href = `/clips/${event.picture}`;
      link.setAttribute("aria-label", `Picture of the call on ${event.approach} at ${new Date(event.at).toLocaleString()}`);
      picture.append(link);
    }
    row.append(make("td", new Date(event.at).toLocaleString()), make("td", event.approach),
      make("td", call ? "approaching" : `cleared: ${event.reason.replaceAll("_", " ")}`),
      make("td", `${Math.round(100 * event.confidence)} %`), make("td", `${event.level_dbfs} dBFS`), picture);
    return row;
  }));
  const last = events.findLast((event) => event.picture), latest = at("latest");
  latest.hidden = !last;
  if (!last || latest.dataset.name === last.picture) return;
  latest.dataset.name = last.picture;
  const words = `The latest call with a picture: ${last.approach}, ${new Date(last.at).toLocaleString()}`;
  latest.querySelector("a").href = latest.querySelector("img").src = `/clips/${last.picture}`;
  latest.querySelector("img").alt = `${words}. Spectrogram, pitch, score, level and decisions over time.`;
  latest.querySelector("figcaption").textContent = words;
}

function watch() {
  const silent = (Date.now() - Math.max(page.heardAt, page.opened)) / 1000;
  const stale = silent > STALE_S;
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
  const handlers = { about: showAbout, health: showHealth, events: showEvents, moments: takeMoments, selftest: showTest };
  for (const [kind, handler] of Object.entries(handlers)) {
    page.source.addEventListener(kind, (message) => handler(JSON.parse(message.data)));
  }
}

at("test").addEventListener("click", askForTest);
at("shown").addEventListener("change", () => { page.shown = at("shown").value; if (page.moments.length) draw(); });
open();
setInterval(watch, 1000);
