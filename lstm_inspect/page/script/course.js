// The course of the unit under the cursor over the timesteps: its states, and its gates below them.
"use strict";

const course = byId("course");

const LINES = ["solid", "dash", "dot", "dashdot"];
const LINE_COLORS = ["--first", "--second", "--third", "--fourth"];

// The signals of the unit that is drawn, with its numbers.
let lines = [];

const valuesAt = (step) =>
  lines.map((line) => `${line.name} ${written(line.numbers[step])}`).join(", ");

// Resolves to false if the cursor moved before the numbers were there.
async function drawCourse() {
  const layer = layerAt();
  const { axis, units } = signalAt();
  const unit = units[at.unit];
  const picked = { ...at };
  const beside = layer.signals.filter((each) => each.axis === axis && each.units.includes(unit));
  const rows = await Promise.all(beside.map(rowsOf));
  if (Object.keys(at).some((each) => picked[each] !== at[each])) {
    return false;
  }
  lines = beside.map((signal, place) =>
    ({ ...signal, numbers: rows[place][signal.units.indexOf(unit)] }));
  const hasGates = lines.some((line) => line.gate);
  const hasOthers = lines.some((line) => !line.gate);
  const height = hasGates && hasOthers ? 350 : 210;
  course.style.height = `${height + MARGIN.t + MARGIN.b}px`;
  const grid = { showgrid: true, gridcolor: color("--line"), fixedrange: true };
  await Plotly.react(course, traces(), {
    ...styled(height),
    plot_bgcolor: "transparent",
    hovermode: "x",
    hoverdistance: -1, // however far the next timestep is
    showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: axisOf("timesteps", {
      range: wholeSteps(),
      ...stepTicks(wholeSteps(), widthOf(course)),
      anchor: hasGates ? "y2" : "y",
      fixedrange: true,
    }),
    yaxis: axisOf(axis === "unit" ? "state" : signalAt().name, { ...grid, domain: [hasGates ? 0.42 : 0, 1], visible: hasOthers }),
    yaxis2: axisOf("gate", {
      ...grid,
      range: [-0.02, 1.02],
      domain: [0, hasOthers ? 0.36 : 1],
      visible: hasGates,
    }),
    shapes: [{
      type: "line",
      yref: "paper",
      y0: 0,
      y1: 1,
      x0: at.step,
      x1: at.step,
      line: { color: color("--quiet"), width: 1, dash: "dot" },
    }],
  }, CONFIG);
  byId("course-of").textContent =
    `${layer.path}, ${axis} ${unit}, sample ${report.samples[at.sample]}`;
  byId("cell").textContent =
    `${layer.path}: ${cellName(at.step, at.unit)}: ${valuesAt(at.step)}`;
  return true;
}

function traces() {
  const others = lines.filter((line) => !["h", "c"].includes(line.name));
  return lines.map((line) => {
    const style = others.indexOf(line); // -1 for h and c
    return {
      type: "scatter",
      mode: line.numbers.length === 1 ? "markers" : "lines",
      name: plotlyText(line.name),
      y: Array.from(line.numbers),
      yaxis: line.gate ? "y2" : "y",
      line: {
        color: color(style < 0 ? `--${line.name}` : LINE_COLORS[style % LINE_COLORS.length]),
        dash: LINES[Math.max(style, 0) % LINES.length],
        width: 2,
      },
      hoverinfo: "none",
    };
  });
}
