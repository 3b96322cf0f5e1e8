// The heat map of a signal: units downwards, timesteps to the right, and a cursor.
"use strict";

const heatMap = byId("heat-map");

// Those of ColorBrewer's RdBu and Matplotlib's viridis, which color-blind people can read.
const DIVERGING = [
  "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
  "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f",
];
const SEQUENTIAL = [
  "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725",
];

// Those of the heat map and of the course below it, so that their timesteps stand in line.
const MARGIN = { l: 70, r: 100, t: 10, b: 60 };
const CONFIG = { displayModeBar: false, responsive: true };

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const stopsOf = (signal) => (signal.gate ? SEQUENTIAL : DIVERGING);
const heightOf = (signal) => clamp(signal.units.length * 14, 180, 600);
const wholeSteps = () => [-0.5, layerAt().steps.length - 0.5];
const wholeUnits = () => [signalAt().units.length - 0.5, -0.5];

function styled(height) {
  return {
    height: height + MARGIN.t + MARGIN.b,
    margin: MARGIN,
    paper_bgcolor: "transparent",
    font: { color: color("--text"), family: "system-ui, sans-serif" },
  };
}

function axisOf(title, more) {
  return { title: { text: title }, zeroline: false, showgrid: false, ticks: "outside",
    tickcolor: color("--line"), ...more };
}

// The numbers as bare pixels, for as long as Plotly is not there.
async function drawPixels() {
  const signal = signalAt();
  const rows = await rowsOf(signal);
  const [low, high] = signal.scale;
  const colors = stopsOf(signal).map((stop) =>
    [1, 3, 5].map((place) => parseInt(stop.slice(place, place + 2), 16)));
  const canvas = document.createElement("canvas");
  canvas.width = layerAt().steps.length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, unit) => row.forEach((number, step) => {
    const share = clamp((number - low) / (high - low), 0, 1);
    const rgb = colors[Math.round(share * (colors.length - 1))] ?? [255, 0, 255];
    image.data.set([...rgb, 255], 4 * (unit * canvas.width + step));
  }));
  context.putImageData(image, 0, 0);
  const { l, r, t, b } = MARGIN;
  canvas.style.cssText = `display: block; height: ${heightOf(signal)}px; image-rendering: pixelated;
    padding: ${t}px ${r}px ${b}px ${l}px; width: calc(100% - ${l + r}px)`;
  heatMap.replaceChildren(canvas);
}

// Resolves to false if something else was picked before the numbers were there.
async function drawHeatMap() {
  const signal = signalAt();
  const picked = { ...at };
  const rows = await rowsOf(signal);
  const mask = await maskAt();
  if (["layer", "signal", "sample"].some((each) => picked[each] !== at[each])) {
    return false;
  }
  at.step = clamp(at.step, 0, layerAt().steps.length - 1);
  at.unit = clamp(at.unit, 0, rows.length - 1);
  const height = heightOf(signal);
  const shape = `${at.layer} ${signal.axis} ${rows.length}`;
  const isZoomed = heatMap.dataset.shape === shape; // h and c are compared at the same places
  heatMap.dataset.shape = shape;
  const isMasked = mask.some((each) => each === 1);
  const stops = stopsOf(signal);
  const numbers = {
    type: "heatmap",
    z: rows,
    zmin: signal.scale[0],
    zmax: signal.scale[1],
    colorscale: stops.map((stop, place) => [place / (stops.length - 1), stop]),
    colorbar: { title: { text: plotlyText(signal.name) }, thickness: 14, outlinewidth: 0, x: 1.01 },
    hoverinfo: "none",
  };
  const strip = {
    type: "heatmap",
    z: [mask],
    zmin: 0,
    zmax: 1,
    colorscale: [[0, color("--page")], [1, color("--mask")]],
    showscale: false,
    yaxis: "y2",
    hoverinfo: "skip",
  };
  heatMap.style.height = `${height + MARGIN.t + MARGIN.b}px`; // Plotly fits it when it resizes
  await Plotly.react(heatMap, isMasked ? [numbers, strip] : [numbers], {
    ...styled(height),
    plot_bgcolor: color("--not-finite"),
    xaxis: axisOf("timesteps", { range: isZoomed ? seenSteps() : wholeSteps(), anchor: isMasked ? "y2" : "y" }),
    yaxis: axisOf(`${signal.axis}s`, {
      range: isZoomed ? seenUnits() : wholeUnits(),
      domain: [isMasked ? 24 / height : 0, 1],
    }),
    yaxis2: axisOf("", {
      range: [-0.5, 0.5],
      domain: [0, 14 / height],
      fixedrange: true,
      tickvals: [0],
      ticktext: ["mask"],
    }),
    shapes: cursorShapes(),
  }, CONFIG);
  heatMap.setAttribute("aria-label", `Heat map of ${layerAt().path}/${signal.name}. ` +
    "Arrow keys move the cursor, plus and minus zoom, 0 shows the whole.");
  byId("masked").hidden = !isMasked;
  byId("about").textContent = signal.notes.map((note) => `Here: ${note}.`).join(" ");
  byId("not-finite").hidden = rows.every((row) => row.every(Number.isFinite));
  await nameTicks();
  return true;
}

// Black dots on a white line, so that they show on every color.
function cursorShapes() {
  const lines = [{ color: "#ffffff", width: 1 }, { color: "#000000", width: 1, dash: "dot" }];
  return lines.flatMap((line) => [
    { type: "rect", line, xref: "paper", x0: 0, x1: 1, y0: at.unit - 0.5, y1: at.unit + 0.5 },
    { type: "rect", line, yref: "paper", y0: 0, y1: 1, x0: at.step - 0.5, x1: at.step + 0.5 },
  ]);
}

const widthOf = (plot) => plot.clientWidth - MARGIN.l - MARGIN.r;
const seenSteps = () => heatMap.layout.xaxis.range;
const seenUnits = () => heatMap.layout.yaxis.range;

// Names the ticks of what is seen; Plotly knows the places on an axis alone.
async function nameTicks() {
  const width = widthOf(heatMap);
  const height = heightOf(signalAt());
  const named = { xaxis: stepTicks(seenSteps(), width), yaxis: unitTicks(seenUnits(), height) };
  const [left, right] = seenSteps();
  const [bottom, top] = seenUnits();
  byId("small").hidden = right - left <= width && bottom - top <= height;
  const changes = Object.entries(named).flatMap(([axis, ticks]) =>
    Object.entries(ticks).map(([name, value]) => [`${axis}.${name}`, value]));
  await Plotly.relayout(heatMap, Object.fromEntries(changes));
}

// A part of so many places of an axis, with one in its middle as far as there are others.
function partOf(count, size, middle) {
  const start = clamp(middle - size / 2, -0.5, count - 0.5 - size);
  return [start, start + size];
}

function zoom(factor) {
  const sizeOf = ([first, last], count) => Math.min(Math.abs(last - first) * factor, count);
  const steps = layerAt().steps.length;
  const units = signalAt().units.length;
  return Plotly.relayout(heatMap, {
    "xaxis.range": partOf(steps, sizeOf(seenSteps(), steps), at.step),
    "yaxis.range": partOf(units, sizeOf(seenUnits(), units), at.unit).reverse(),
  });
}

async function drawCursor() {
  await Plotly.relayout(heatMap, { shapes: cursorShapes() });
  const [left, right] = seenSteps();
  const [bottom, top] = seenUnits();
  const isSeen = left <= at.step && at.step <= right && top <= at.unit && at.unit <= bottom;
  if (!isSeen) {
    await zoom(1);
  }
}
