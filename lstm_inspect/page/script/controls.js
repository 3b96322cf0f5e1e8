// What a person does: pickers, the pointer and the keyboard.
"use strict";

const tip = byId("tip");
const pickers = { layer: byId("layer"), signal: byId("signal"), sample: byId("sample") };

async function draw() {
  if (typeof Plotly === "undefined") {
    return; // it is drawn as soon as Plotly is there
  }
  await drawHeatMap() && await drawCourse();
}

async function moveCursor(step, unit) {
  at.step = clamp(step, 0, layerAt().steps.length - 1);
  at.unit = clamp(unit, 0, signalAt().units.length - 1);
  await drawCursor();
  await drawCourse();
}

const KEYS = {
  ArrowLeft: () => moveCursor(at.step - 1, at.unit),
  ArrowRight: () => moveCursor(at.step + 1, at.unit),
  ArrowUp: () => moveCursor(at.step, at.unit - 1),
  ArrowDown: () => moveCursor(at.step, at.unit + 1),
  Home: () => moveCursor(0, at.unit),
  End: () => moveCursor(Infinity, at.unit),
  PageUp: () => moveCursor(at.step, at.unit - 10),
  PageDown: () => moveCursor(at.step, at.unit + 10),
  "+": () => zoom(0.5),
  "-": () => zoom(2),
  0: () => zoom(Infinity),
};

function showTip({ clientX, clientY }, text) {
  tip.textContent = text;
  tip.hidden = false;
  const place = (pointer, size, room) => Math.max(0, Math.min(pointer + 14, room - size - 4));
  tip.style.left = `${place(clientX, tip.offsetWidth, innerWidth)}px`;
  tip.style.top = `${place(clientY, tip.offsetHeight, innerHeight)}px`;
}

const hideTip = () => {
  tip.hidden = true;
};

function fill(select, names) {
  select.replaceChildren(...names.map((name, value) => new Option(name, String(value))));
}

// Offers the signals of a layer, and picks the one of a name if it has that one.
function pickLayer(layer, signal) {
  at.layer = layer;
  pickers.layer.value = String(layer);
  const names = layerAt().signals.map((each) => each.name);
  fill(pickers.signal, names);
  at.signal = Math.max(0, names.indexOf(signal));
  pickers.signal.value = String(at.signal);
}

function listenToPickers() {
  pickers.layer.addEventListener("change", () => {
    pickLayer(Number(pickers.layer.value), signalAt().name);
    draw();
  });
  for (const name of ["signal", "sample"]) {
    pickers[name].addEventListener("change", () => {
      at[name] = Number(pickers[name].value);
      draw();
    });
  }
}

function listen() {
  heatMap.on("plotly_hover", ({ points: [point], event }) => {
    const [unit, step] = point.pointIndex;
    const number = heatMap.data[0].z[unit][step]; // Plotly hands on none that is NaN
    showTip(event, `${cellName(step, unit)}\n${signalAt().name} ${written(number)}`);
  });
  heatMap.on("plotly_unhover", hideTip);
  heatMap.on("plotly_click", ({ points: [{ pointIndex: [unit, step] }] }) => moveCursor(step, unit));
  heatMap.on("plotly_doubleclick", KEYS[0]);
  heatMap.on("plotly_relayout", (changed) => {
    const keys = Object.keys(changed);
    if (keys.some((key) => key.includes("range"))) {
      nameTicks();
    }
    if (keys.includes("autosize")) { // the window has another size
      draw();
    }
  });
  heatMap.addEventListener("keydown", (event) => {
    if (event.key in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  byId("whole").addEventListener("click", KEYS[0]);
  course.on("plotly_hover", ({ points: [{ pointNumber: step }], event }) =>
    showTip(event, `${cellName(step, at.unit)}\n${valuesAt(step)}`));
  course.on("plotly_unhover", hideTip);
  course.on("plotly_click", ({ points: [{ pointNumber: step }] }) => moveCursor(step, at.unit));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  for (const button of document.querySelectorAll("button[data-layer]")) {
    const layer = report.layers.findIndex((each) => each.path === button.dataset.layer);
    const { signal } = button.dataset;
    if (report.layers[layer]?.signals.some((each) => each.name === signal)) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        pickLayer(layer, signal);
        await draw();
        heatMap.scrollIntoView({ block: "center" });
        heatMap.focus({ preventScroll: true });
      });
    }
  }
}

// Plotly takes most of a second to start; the pixels are painted before.
async function startPlotly() {
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await unpackBytes("plotly"));
  document.head.append(script);
  heatMap.replaceChildren();
}

async function begin() {
  fill(pickers.layer, report.layers.map((each) => each.path));
  fill(pickers.sample, report.samples.map(String));
  pickLayer(0, report.layers[0].signals[0].name);
  listenToPickers();
  await drawPixels();
  await startPlotly();
  await draw();
  listen();
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
}

begin();
