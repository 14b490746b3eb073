// The two charts over time, by uPlot: score and evidence of the last seconds, level and calls of the last day.
/* global uPlot */
import { GUTTER, MARGIN } from "/spectrogram.js";

const DAY_S = 86400, NEAR_PX = 12;
const LABELLED = 0.88;  // from here on a level's label would lie over that of 1
const font = '13px system-ui, "DejaVu Sans", sans-serif';
export const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const axis = (more) => ({ font, stroke: () => theme("ink"), grid: { stroke: () => theme("grid"), width: 1 },
  ticks: { stroke: () => theme("line"), size: 5 }, ...more });

function fit(plot, holder) {
  new ResizeObserver(() => plot.setSize({ width: holder.clientWidth, height: holder.clientHeight })).observe(holder);
}

function shade(plot, spans, below = 0) {  // spans in x, under the curves
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const [from, until] of spans) {
    const left = plot.valToPos(from, "x", true), right = Math.max(left + 3 * devicePixelRatio, plot.valToPos(until, "x", true));
    ctx.fillStyle = theme("called");
    ctx.fillRect(left, bbox.top, right - left, bbox.height - below);
    ctx.fillStyle = theme("mark");
    ctx.fillRect(left, bbox.top, 2 * devicePixelRatio, bbox.height - below);
  }
  ctx.restore();
}

// Evidence and score of one approach; x is seconds before now. `spans()` gives the calls in it.
export function scoreChart(holder, about, shown_s, spans) {
  const levels = [about.exit, about.enter];
  const plot = new uPlot({
    width: holder.clientWidth, height: holder.clientHeight, legend: { show: false }, cursor: { show: false }, padding: [6, MARGIN, 0, 0],
    scales: { x: { time: false, range: [-shown_s, 0] }, y: { range: [0, 1.02] } },
    axes: [axis({ size: 28, values: (_, ticks) => ticks.map((each) => (each === 0 ? "now" : `${each} s`)) }),
      axis({ size: GUTTER, splits: () => [0, ...levels, 1], values: (_, ticks) => ticks.map((each) => (each === 1 && about.enter > LABELLED ? "" : `${each}`)) })],
    series: [{}, { stroke: () => theme("level"), width: 1.5, points: { show: false } },
      { stroke: () => theme("mark"), width: 3, points: { show: false } }],
    hooks: { drawClear: [(made) => shade(made, spans())] },
  }, [[], [], []], holder);
  fit(plot, holder);
  return plot;
}

// Level, noise floor, health and calls of a day; x is Unix time. `calls()` gives [from, until, index] each.
export function dayChart(holder, calls, ill, onCall) {
  const plot = new uPlot({
    width: holder.clientWidth, height: holder.clientHeight, legend: { show: false }, padding: [6, MARGIN, 0, 0],
    cursor: { drag: { x: true, y: false, setScale: true }, y: false },
    scales: { x: { range: (_, low, high) => (low === null ? [Date.now() / 1000 - DAY_S, Date.now() / 1000] : [low, high]) },
      y: { range: (_, low, high) => (low === null ? [-100, 0] : [Math.floor((low - 3) / 10) * 10, Math.ceil((high + 3) / 10) * 10]) } },
    axes: [axis({ size: 40, space: 64, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })) }),
      axis({ size: GUTTER, values: (_, ticks) => ticks.map((each) => `${each} dB`) })],
    series: [{}, { stroke: () => theme("level"), width: 1.5, points: { show: false }, spanGaps: false },
      { stroke: () => theme("ink"), width: 1.5, dash: [2, 4], points: { show: false }, spanGaps: false }],
    hooks: {
      drawClear: [(made) => shade(made, calls())],
      draw: [(made) => {
        const { ctx, bbox } = made, thick = 6 * devicePixelRatio;
        ctx.fillStyle = theme("ill");
        for (const [from, until] of ill()) {
          const left = Math.max(bbox.left, made.valToPos(from, "x", true)), right = Math.min(bbox.left + bbox.width, made.valToPos(until, "x", true));
          if (right > left) ctx.fillRect(left, bbox.top + bbox.height - thick, Math.max(2, right - left), thick);
        }
      }],
    },
  }, [[], [], []], holder);
  plot.over.addEventListener("click", (press) => {
    const x = press.offsetX, near = calls().map(([from, until, index]) => {
      const left = plot.valToPos(from, "x"), right = plot.valToPos(until, "x");
      return [x < left ? left - x : x > right ? x - right : 0, index];
    }).sort((one, other) => one[0] - other[0])[0];
    if (near && near[0] <= NEAR_PX) onCall(near[1]);
  });
  fit(plot, holder);
  return plot;
}
