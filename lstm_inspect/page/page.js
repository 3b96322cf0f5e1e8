// Shows the numbers of a page: a heat map of a signal, and the course of one unit.
"use strict";

(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const byId = (id) => document.getElementById(id);
  const heatMap = byId("heat-map");
  const course = byId("course");
  const tip = byId("tip");
  const pickers = { layer: byId("layer"), signal: byId("signal"), sample: byId("sample") };

  // That of ColorBrewer (RdBu) and that of Matplotlib (viridis), which color-blind people can read.
  const DIVERGING = [
    "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
    "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f",
  ];
  const SEQUENTIAL = [
    "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725",
  ];
  const LINES = ["solid", "dash", "dot", "dashdot"];
  const LINE_COLORS = ["--first", "--second", "--third", "--fourth"];
  const MARGIN = { l: 70, r: 100, t: 10, b: 60 }; // the same, so that timesteps stand below each other
  const CONFIG = { displayModeBar: false, responsive: true };

  // What is shown: indices, not the numbers of samples, timesteps and units.
  const at = { layer: 0, signal: 0, sample: 0, step: 0, unit: 0 };
  let drawing = 0;
  let shown = null;

  const layerAt = () => report.layers[at.layer];
  const signalAt = () => layerAt().signals[at.signal];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clamp = (number, low, high) => Math.min(Math.max(number, low), high);
  // Plotly takes some tags in a text as markup.
  const asText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const written = (number) =>
    Number.isFinite(number) ? String(Number(number.toPrecision(report.digits))) : String(number);

  // --- numbers

  const complete = new Promise((resolve) => {
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", resolve, { once: true });
    } else {
      resolve();
    }
  });
  const unpacked = new Map();

  function numbersOf(layer, signal, sample) {
    const name = `${layer}/${signal}/${sample}`;
    if (!unpacked.has(name)) {
      unpacked.set(name, unpack(name));
    }
    return unpacked.get(name);
  }

  // Undoes `packed_bytes` of packing.py.
  async function unpackBytes(name) {
    if (!byId(name)) {
      await complete;
    }
    const text = atob(byId(name).textContent);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) {
      bytes[place] = text.charCodeAt(place);
    }
    const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(inflated).arrayBuffer();
  }

  // Undoes `packed_numbers` of packing.py.
  async function unpack(name) {
    const planes = new Uint8Array(await unpackBytes(name));
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

  async function rowsOf(signal) {
    const steps = layerAt().steps.length;
    const flat = await numbersOf(at.layer, signal.name, at.sample);
    return signal.units.map((_, unit) => flat.subarray(unit * steps, (unit + 1) * steps));
  }

  // --- names

  function labels() {
    const all = report.labels ?? [];
    const found = all.length === 1 ? all[0] : all[at.sample];
    return found?.length === layerAt().steps.length ? found : null;
  }

  function stepName(step) {
    const number = `step ${layerAt().steps[step]}`;
    const label = labels()?.[step];
    return label === undefined ? number : `${number} (${label})`;
  }

  function place(step, unit) {
    const { axis, units } = signalAt();
    return `sample ${report.samples[at.sample]}, ${stepName(step)}, ${axis} ${units[unit]}`;
  }

  const shortened = (text) => (text.length > 16 ? `${text.slice(0, 15)}…` : text);

  // As many ticks as have room, at whole places of the axis.
  function ticks(low, high, room, nameOf) {
    const least = Math.max(1, (high - low) / Math.max(room, 1));
    const power = 10 ** Math.floor(Math.log10(least));
    const every = Math.max(1, [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least));
    const places = [];
    for (let tick = Math.ceil(Math.max(low, 0) / every) * every; tick <= high; tick += every) {
      places.push(tick);
    }
    return { tickmode: "array", tickangle: 0, tickvals: places, ticktext: places.map(nameOf) };
  }

  function stepTicks(low, high, width) {
    const steps = layerAt().steps;
    const names = labels()?.map(shortened) ?? steps;
    const letters = names.reduce((most, name) => Math.max(most, String(name).length), 0);
    const room = width / Math.max(60, 9 * letters);
    const nameOf = (step) => asText(String(names[step]));
    return ticks(Math.max(low, 0), Math.min(high, steps.length - 1), room, nameOf);
  }

  function unitTicks(low, high, height) {
    const units = signalAt().units;
    const name = (unit) => String(units[unit]);
    return ticks(Math.max(low, 0), Math.min(high, units.length - 1), height / 24, name);
  }

  // --- the library that draws

  // It takes most of a second to start. Until then, bare pixels stand in the place of the heat map.
  async function startLibrary() {
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await unpackBytes("library"));
    document.head.append(script);
    heatMap.replaceChildren();
  }

  async function drawPixels() {
    const signal = signalAt();
    const rows = await rowsOf(signal);
    const [low, high] = signal.scale;
    const stops = scaleOf(signal).map((stop) =>
      [1, 3, 5].map((place) => parseInt(stop.slice(place, place + 2), 16)));
    const canvas = document.createElement("canvas");
    canvas.width = layerAt().steps.length;
    canvas.height = rows.length;
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    rows.forEach((row, unit) => row.forEach((number, step) => {
      const stop = Math.round(clamp((number - low) / (high - low), 0, 1) * (stops.length - 1));
      image.data.set([...(stops[stop] ?? [0, 0, 0]), 255], 4 * (unit * canvas.width + step));
    }));
    context.putImageData(image, 0, 0);
    const { l, r, t, b } = MARGIN;
    canvas.style.cssText = `display: block; height: ${heightOf(rows)}px; image-rendering: pixelated;
      padding: ${t}px ${r}px ${b}px ${l}px; width: calc(100% - ${l + r}px)`;
    heatMap.replaceChildren(canvas);
  }

  // --- the heat map

  const scaleOf = (signal) => (signal.gate ? SEQUENTIAL : DIVERGING);
  const heightOf = (rows) => clamp(rows.length * 14, 180, 600);

  async function draw() {
    const number = ++drawing;
    const layer = layerAt();
    const signal = signalAt();
    const steps = layer.steps.length;
    const rows = await rowsOf(signal);
    const masks = layer.masked ? await numbersOf(at.layer, "mask", at.sample) : [];
    if (number !== drawing) {
      return; // another one was picked in the meantime
    }
    const isMasked = masks.some((each) => each === 1);
    shown = { rows, steps, masks };
    at.step = clamp(at.step, 0, steps - 1);
    at.unit = clamp(at.unit, 0, rows.length - 1);
    const height = heightOf(rows);
    const traces = [
      {
        type: "heatmap",
        z: rows,
        zmin: signal.scale[0],
        zmax: signal.scale[1],
        colorscale: scaleOf(signal).map((stop, place, all) => [place / (all.length - 1), stop]),
        hoverinfo: "none",
        colorbar: { title: { text: asText(signal.name) }, thickness: 14, outlinewidth: 0, x: 1.01 },
      },
    ];
    if (isMasked) {
      traces.push({
        type: "heatmap",
        z: [masks],
        yaxis: "y2",
        zmin: 0,
        zmax: 1,
        colorscale: [[0, color("--page")], [1, color("--mask")]],
        showscale: false,
        hoverinfo: "skip",
      });
    }
    const layout = {
      height: height + MARGIN.t + MARGIN.b,
      margin: MARGIN,
      paper_bgcolor: "transparent",
      plot_bgcolor: color("--not-finite"),
      font: { color: color("--text"), family: "system-ui, sans-serif" },
      dragmode: "zoom",
      xaxis: axis("timesteps", [-0.5, steps - 0.5], { anchor: isMasked ? "y2" : "y" }),
      yaxis: axis(`${signal.axis}s`, [rows.length - 0.5, -0.5], {
        domain: isMasked ? [24 / height, 1] : [0, 1],
      }),
      yaxis2: axis("", [-0.5, 0.5], {
        domain: [0, 14 / height],
        fixedrange: true,
        tickmode: "array",
        tickvals: [0],
        ticktext: ["mask"],
      }),
      shapes: cursor(),
    };
    await Plotly.react(heatMap, traces, layout, CONFIG);
    heatMap.setAttribute("aria-label", `Heat map of ${layer.path}/${signal.name}: ${place(0, 0)}. `
      + "Arrow keys move the cursor, plus and minus zoom, 0 shows the whole.");
    const gaps = rows.some((row) => row.some((each) => !Number.isFinite(each)));
    byId("not-finite").hidden = !gaps;
    byId("masked").hidden = !isMasked;
    await retick();
    await drawCourse();
  }

  function axis(title, range, more) {
    return {
      title: { text: title },
      range,
      zeroline: false,
      showgrid: false,
      ticks: "outside",
      tickcolor: color("--line"),
      ...more,
    };
  }

  function cursor() {
    const line = { color: color("--cursor"), width: 1, dash: "dot" };
    const band = { type: "rect", line, layer: "above" };
    return [
      { ...band, xref: "paper", x0: 0, x1: 1, y0: at.unit - 0.5, y1: at.unit + 0.5 },
      { ...band, yref: "paper", y0: 0, y1: 1, x0: at.step - 0.5, x1: at.step + 0.5 },
    ];
  }

  const sizes = () => ({
    width: heatMap.clientWidth - MARGIN.l - MARGIN.r,
    height: heatMap.clientHeight - MARGIN.t - MARGIN.b,
  });

  function ranges() {
    return [heatMap.layout.xaxis.range, heatMap.layout.yaxis.range];
  }

  async function retick() {
    const [[left, right], [bottom, top]] = ranges();
    const { width, height } = sizes();
    const across = stepTicks(left, right, width);
    const down = unitTicks(top, bottom, height);
    byId("small").hidden = right - left <= width && bottom - top <= height;
    await Plotly.relayout(heatMap, {
      ...Object.fromEntries(Object.entries(across).map(([key, value]) => [`xaxis.${key}`, value])),
      ...Object.fromEntries(Object.entries(down).map(([key, value]) => [`yaxis.${key}`, value])),
    });
  }

  // Part of an axis with so many places, and the cursor in its middle as far as there are others.
  function partOf(count, size, middle) {
    const start = clamp(middle - size / 2, -0.5, count - 0.5 - size);
    return [start, start + size];
  }

  function zoom(factor) {
    const [across, down] = ranges().map(([first, last]) => Math.abs(last - first) * factor);
    return Plotly.relayout(heatMap, {
      "xaxis.range": partOf(shown.steps, Math.min(across, shown.steps), at.step),
      "yaxis.range": partOf(shown.rows.length, Math.min(down, shown.rows.length), at.unit).reverse(),
    });
  }

  const isSeen = () => {
    const [[left, right], [bottom, top]] = ranges();
    return left <= at.step && at.step <= right && top <= at.unit && at.unit <= bottom;
  };

  // --- the course of a unit

  async function drawCourse() {
    const layer = layerAt();
    const signal = signalAt();
    const unit = signal.units[at.unit];
    const number = drawing;
    const beside = layer.signals.filter((each) => each.axis === signal.axis && each.units.includes(unit));
    const numbers = await Promise.all(
      beside.map((each) => numbersOf(at.layer, each.name, at.sample)),
    );
    if (number !== drawing || unit !== signalAt().units[at.unit]) {
      return;
    }
    const steps = layer.steps.length;
    const lines = beside.map((each, place) => {
      const row = each.units.indexOf(unit);
      return { ...each, numbers: numbers[place].subarray(row * steps, (row + 1) * steps) };
    });
    shown.lines = lines;
    let other = 0;
    const traces = lines.map((each) => {
      const isState = each.name === "h" || each.name === "c";
      const style = isState ? 0 : other++;
      return {
        type: "scatter",
        mode: steps === 1 ? "markers" : "lines",
        name: asText(each.name),
        y: Array.from(each.numbers),
        yaxis: each.gate ? "y2" : "y",
        line: {
          color: color(isState ? `--${each.name}` : LINE_COLORS[style % LINE_COLORS.length]),
          dash: isState ? "solid" : LINES[style % LINES.length],
          width: 2,
        },
        hoverinfo: "none",
      };
    });
    const hasGates = lines.some((each) => each.gate);
    const hasOthers = lines.some((each) => !each.gate);
    const grid = { showgrid: true, gridcolor: color("--line") };
    await Plotly.react(course, traces, {
      height: hasGates && hasOthers ? 420 : 280,
      margin: MARGIN,
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { color: color("--text"), family: "system-ui, sans-serif" },
      hovermode: "x",
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: axis("timesteps", [-0.5, steps - 0.5], {
        ...stepTicks(0, steps - 1, sizes().width),
        anchor: hasGates ? "y2" : "y",
        fixedrange: true,
      }),
      yaxis: { ...axis(hasOthers ? "state" : "", undefined, grid), domain: hasGates ? [0.42, 1] : [0, 1], fixedrange: true },
      yaxis2: { ...axis("gate", [-0.02, 1.02], grid), domain: hasOthers ? [0, 0.36] : [0, 1], fixedrange: true, visible: hasGates },
      shapes: [
        {
          type: "line", yref: "paper", y0: 0, y1: 1, x0: at.step, x1: at.step,
          line: { color: color("--quiet"), width: 1, dash: "dot" },
        },
      ],
    }, CONFIG);
    byId("course-of").textContent = `${layer.path}, ${signal.axis} ${unit}, sample ${report.samples[at.sample]}`;
    course.setAttribute("aria-label", `The course of ${signal.axis} ${unit} of ${layer.path} over the timesteps.`);
    byId("cell").textContent = `${layer.path}: ${place(at.step, at.unit)}: ${valuesAt(at.step)}`;
  }

  const valuesAt = (step) =>
    shown.lines.map((each) => `${each.name} ${written(each.numbers[step])}`).join(", ");

  async function moveTo(step, unit) {
    at.step = clamp(step, 0, shown.steps - 1);
    at.unit = clamp(unit, 0, shown.rows.length - 1);
    await Plotly.relayout(heatMap, { shapes: cursor() });
    if (!isSeen()) {
      await zoom(1);
    }
    await drawCourse();
  }

  // --- the tip beside the pointer

  function showTip(event, text) {
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4);
    const top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4);
    tip.style.left = `${Math.max(left, 0)}px`;
    tip.style.top = `${Math.max(top, 0)}px`;
  }

  const hideTip = () => {
    tip.hidden = true;
  };

  // --- what a person does

  function fill(select, names) {
    select.replaceChildren(...names.map((name, value) => new Option(name, String(value))));
  }

  // Offers the signals of the layer, and picks the one of a name if it has that one.
  function fillSignals(name) {
    const names = layerAt().signals.map((each) => each.name);
    fill(pickers.signal, names);
    at.signal = Math.max(0, names.indexOf(name));
    pickers.signal.value = String(at.signal);
  }

  function pickLayer(layer, signal) {
    at.layer = layer;
    pickers.layer.value = String(layer);
    fillSignals(signal);
    return draw();
  }

  function pick(name) {
    at[name] = Number(pickers[name].value);
    return draw();
  }

  const KEYS = {
    ArrowLeft: () => moveTo(at.step - 1, at.unit),
    ArrowRight: () => moveTo(at.step + 1, at.unit),
    ArrowUp: () => moveTo(at.step, at.unit - 1),
    ArrowDown: () => moveTo(at.step, at.unit + 1),
    Home: () => moveTo(0, at.unit),
    End: () => moveTo(shown.steps - 1, at.unit),
    PageUp: () => moveTo(at.step, at.unit - 10),
    PageDown: () => moveTo(at.step, at.unit + 10),
    "+": () => zoom(0.5),
    "-": () => zoom(2),
    0: () => zoom(Infinity),
  };

  async function begin() {
    fill(pickers.layer, report.layers.map((each) => each.path));
    fill(pickers.sample, report.samples.map(String));
    fillSignals();
    await drawPixels();
    await startLibrary();
    await draw();
    pickers.layer.addEventListener("change", () =>
      pickLayer(Number(pickers.layer.value), signalAt().name));
    pickers.signal.addEventListener("change", () => pick("signal"));
    pickers.sample.addEventListener("change", () => pick("sample"));
    heatMap.on("plotly_hover", ({ points: [point], event }) => {
      const [unit, step] = point.pointIndex;
      const signal = signalAt();
      showTip(event, `${place(step, unit)}\n${signal.name} ${written(shown.rows[unit][step])}`);
    });
    heatMap.on("plotly_unhover", hideTip);
    heatMap.on("plotly_click", ({ points: [{ pointIndex: [unit, step] }] }) => moveTo(step, unit));
    heatMap.on("plotly_relayout", (changed) => {
      if (Object.keys(changed).some((key) => key.includes("axis.range") || key.includes("autorange"))) {
        retick();
      }
    });
    heatMap.on("plotly_doubleclick", () => zoom(Infinity));
    course.on("plotly_hover", ({ points: [point], event }) => {
      const step = point.pointNumber;
      showTip(event, `${place(step, at.unit)}\n${valuesAt(step)}`);
    });
    course.on("plotly_unhover", hideTip);
    course.on("plotly_click", ({ points: [point] }) => moveTo(point.pointNumber, at.unit));
    heatMap.addEventListener("keydown", (event) => {
      if (event.key in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        KEYS[event.key]();
      }
    });
    byId("whole").addEventListener("click", () => zoom(Infinity));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    for (const button of document.querySelectorAll("button[data-layer]")) {
      const layer = report.layers.findIndex((each) => each.path === button.dataset.layer);
      const { signal } = button.dataset;
      if (!report.layers[layer]?.signals.some((each) => each.name === signal)) {
        continue;
      }
      button.hidden = false;
      button.addEventListener("click", async () => {
        await pickLayer(layer, signal);
        heatMap.scrollIntoView({ block: "center" });
        heatMap.focus({ preventScroll: true });
      });
    }
    document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  }

  begin();
})();
