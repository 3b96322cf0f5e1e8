// How numbers, cells and the ticks of axes are written.
"use strict";

const clamp = (number, low, high) => Math.min(Math.max(number, low), high);

const written = (number) =>
  Number.isFinite(number) ? String(Number(number.toPrecision(report.digits))) : String(number);

// Plotly takes some tags in a text for markup, and what stands between dollars for mathematics.
const plotlyText = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("$", "&#36;");

const shortened = (text) => (text.length > 16 ? `${text.slice(0, 15)}…` : text);

function labelsAt() {
  const all = report.labels ?? [];
  const found = all.length === 1 ? all[0] : all[at.sample];
  return found?.length === layerAt().steps.length ? found : null;
}

function stepName(step) {
  const number = `step ${layerAt().steps[step]}`;
  const label = labelsAt()?.[step];
  return label === undefined ? number : `${number} (${label})`;
}

function cellName(step, unit) {
  const { axis, units } = signalAt();
  return `sample ${report.samples[at.sample]}, ${stepName(step)}, ${axis} ${units[unit]}`;
}

// Ticks at whole places from low to high: as many as have room, at 1, 2, 5, 10, 20, ... places.
function ticks(low, high, room, nameOf) {
  const least = Math.max(1, (high - low) / Math.max(room, 1));
  const power = 10 ** Math.floor(Math.log10(least));
  const every = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least);
  const places = [];
  for (let place = Math.ceil(low / every) * every; place <= high; place += every) {
    places.push(place);
  }
  return { tickmode: "array", tickangle: 0, tickvals: places, ticktext: places.map(nameOf) };
}

function stepTicks([low, high], width) {
  const steps = layerAt().steps;
  const names = labelsAt()?.map(shortened) ?? steps;
  const letters = names.reduce((most, name) => Math.max(most, String(name).length), 0);
  const nameOf = (step) => plotlyText(String(names[step]));
  const last = Math.min(high, steps.length - 1);
  return ticks(Math.max(low, 0), last, width / Math.max(60, 9 * letters), nameOf);
}

function unitTicks([high, low], height) {
  const units = signalAt().units;
  const last = Math.min(high, units.length - 1);
  return ticks(Math.max(low, 0), last, height / 24, (unit) => String(units[unit]));
}
