// A colour map whose lightness grows evenly, in OKLCH (Ottosson, 2020): equal steps of level look equal, in grey too.
export const STEPS = 256;

// Return the linear-light RGB of an OKLCH colour; values outside 0..1 are no colour of a screen.
function linear(lightness, chroma, hue_deg) {
  const hue = hue_deg * Math.PI / 180, a = chroma * Math.cos(hue), b = chroma * Math.sin(hue);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s];
}

const encoded = (value) => Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));

// Return [red, green, blue], 0..255, of the most colourful shade up to `chroma` that a screen has.
function shade(lightness, chroma, hue_deg) {
  for (let tried = chroma; ; tried -= 0.005) {
    const rgb = linear(lightness, Math.max(tried, 0), hue_deg);
    if (tried <= 0 || rgb.every((value) => value >= 0 && value <= 1)) return rgb.map((value) => encoded(Math.min(1, Math.max(0, value))));
  }
}

// Return STEPS colours from the background of the theme to what stands out most from it.
export function ramp(isDark) {
  return Array.from({ length: STEPS }, (_, step) => {
    const t = step / (STEPS - 1), lightness = isDark ? 0.15 + 0.8 * t : 0.98 - 0.78 * t;
    return shade(lightness, 0.02 + 0.16 * Math.sin(Math.PI * t), isDark ? 300 + 165 * t : 105 - 165 * t);
  });
}
