// What the page holds: the layers, and the numbers of their signals, unpacked when they are needed.
"use strict";

const byId = (id) => document.getElementById(id);
const report = JSON.parse(byId("report").textContent);

const whole = new Promise((resolve) => {
  document.addEventListener("DOMContentLoaded", resolve, { once: true });
});

// Undoes `packed_bytes` of packing.py.
async function unpackBytes(id) {
  if (!byId(id)) {
    await whole;
  }
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) {
    bytes[place] = text.charCodeAt(place);
  }
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

// Undoes `packed_numbers` of packing.py.
async function unpackNumbers(id) {
  const planes = await unpackBytes(id);
  const count = planes.length / 4;
  const view = new DataView(new ArrayBuffer(4));
  const numbers = new Float32Array(count);
  for (let place = 0; place < count; place++) {
    for (let rank = 0; rank < 4; rank++) {
      view.setUint8(rank, planes[rank * count + place]);
    }
    numbers[place] = view.getFloat32(0, true);
  }
  return numbers;
}

const unpacked = new Map();

function numbersOf(layer, name, sample) {
  const id = `${layer}/${name}/${sample}`;
  if (!unpacked.has(id)) {
    unpacked.set(id, unpackNumbers(id));
  }
  return unpacked.get(id);
}

// What is looked at, as indices: not the numbers of samples, timesteps and units.
const at = { layer: 0, signal: 0, sample: 0, step: 0, unit: 0 };

const layerAt = () => report.layers[at.layer];
const signalAt = () => layerAt().signals[at.signal];

// The numbers of a signal of the layer and sample at hand: for each unit those of the timesteps.
async function rowsOf(signal) {
  const steps = layerAt().steps.length;
  const flat = await numbersOf(at.layer, signal.name, at.sample);
  return signal.units.map((_, unit) => flat.subarray(unit * steps, (unit + 1) * steps));
}

// A number for each timestep, 1 where it is masked; none if no mask was recorded.
async function maskAt() {
  return layerAt().masked ? numbersOf(at.layer, "mask", at.sample) : [];
}
