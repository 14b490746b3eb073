// The spectrogram: each band against its own usual noise, so that a faint siren stands out of a loud street.
import { ramp, STEPS } from "/colours.js";

export const GUTTER = 52, MARGIN = 16;  // CSS pixels left and right of it, as the charts below have for their axes
const DB_A_BYTE = 110 / 255, LEAST_DB = 3, SPAN_DB = 24, USUAL = 0.3, LEAST_COLUMNS = 40;
const colours = {};

function palette(isDark) {
  colours[isDark] ??= Uint32Array.from(ramp(isDark), ([red, green, blue]) => 0xff000000 + (blue << 16) + (green << 8) + red);
  return colours[isDark];
}

// Return the usual level of each band in bytes: what 30 % of the columns stay below. Digital silence says nothing of it.
export function floors(columns, bands) {
  const counts = new Uint32Array(bands * 256), made = new Float32Array(bands);
  for (const column of columns) for (let at = 0; at < column.length; at += 1) counts[(at % bands) * 256 + column[at]] += 1;
  for (let band = 0; band < bands; band += 1) {
    let total = 0;
    for (let value = 1; value < 256; value += 1) total += counts[band * 256 + value];
    let left = USUAL * total, value = 1;
    while (value < 255 && (left -= counts[band * 256 + value]) > 0) value += 1;
    made[band] = value;
  }
  return made;
}

// Return the step of the colour map, 0..STEPS - 1, for a byte over its band's usual level.
export function step(byte, floor) {
  return Math.max(0, Math.min(STEPS - 1, Math.round(((byte - floor) * DB_A_BYTE - LEAST_DB) / (SPAN_DB - LEAST_DB) * (STEPS - 1))));
}

// Draw the hops [{ end_s, bytes }] that end within `shown_s` before `now_s`.
export function drawSpectrogram(canvas, hops, { now_s, shown_s, about, isDark, ink, paper }) {
  const { bands, hop_s, low_hz, high_hz } = about, known = hops.filter((hop) => hop.bytes && now_s - hop.end_s <= shown_s);
  const scale = window.devicePixelRatio, pen = fitted(canvas, scale), left = GUTTER * scale;
  const width = canvas.width - left - MARGIN * scale, { height } = canvas;
  pen.fillStyle = paper;
  pen.fillRect(0, 0, canvas.width, height);
  const table = palette(isDark);
  if (known.length) {
    const perHop = Math.round(known.at(-1).bytes.length / bands), across = Math.round(shown_s / hop_s * perHop);
    const usual = known.length * perHop < LEAST_COLUMNS ? null : floors(known.map((hop) => hop.bytes), bands);
    const image = new ImageData(across, bands), pixels = new Uint32Array(image.data.buffer).fill(table[0]);
    for (const hop of known) {
      const first = Math.round(across - (now_s - hop.end_s + hop_s) / hop_s * perHop);
      for (let at = 0; at < hop.bytes.length; at += 1) {
        const x = first + Math.floor(at / bands), band = at % bands;
        if (x >= 0 && x < across && usual) pixels[(bands - 1 - band) * across + x] = table[step(hop.bytes[at], usual[band])];
      }
    }
    const small = new OffscreenCanvas(across, bands);
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, left, 0, width, height);
  }
  pen.strokeStyle = pen.fillStyle = ink;
  pen.lineWidth = scale;
  pen.strokeRect(left, 0.5, width - 0.5, height - 1);
  pen.textAlign = "right";
  const mel = (hz) => Math.log1p(hz / 700);
  for (const hz of [500, 1000, 2000, 4000]) {
    const y = height * (1 - (mel(hz) - mel(low_hz)) / (mel(high_hz) - mel(low_hz)));
    pen.fillText(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, left - 6 * scale, y + 4 * scale);
    pen.fillRect(left - 4 * scale, y, 4 * scale, scale);
  }
}

export function drawRamp(canvas, isDark) {
  const pen = canvas.getContext("2d"), table = palette(isDark), image = new ImageData(STEPS, 1);
  [canvas.width, canvas.height] = [STEPS, 1];
  new Uint32Array(image.data.buffer).set(table);
  pen.putImageData(image, 0, 0);
}

function fitted(canvas, scale) {  // as many pixels as the screen has, so that words stay legible on a phone
  const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.font = `${13 * scale}px system-ui, "DejaVu Sans", sans-serif`;
  return pen;
}
