"use strict";
// Charts with values under the pointer, filters, and the runs behind every number. All statistics come with the page.
(async () => {
  // zlib's format is what browsers call deflate
  const packed = Uint8Array.from(atob(document.getElementById("study").textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const study = await new Response(unpacked).json();
  const { methods, sparsities, percents, rewinds, runs } = study;
  const sparse = methods.filter((method) => method in study.cells);
  const shown = { rewind: study.middle, sparsity: sparsities.length >> 1, methods: new Set(methods), whole: false };
  const PAGE = 50; // runs at a time

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function select(name, label, options, chosen, change) {
    const made = options.map(([value, text]) => element("option", { value, selected: value === chosen }, text));
    const box = element("select", { id: name, onchange: (event) => change(Number(event.target.value)) }, ...made);
    return element("label", { for: name }, `${label} `, box);
  }

  // ---- controls ----

  const status = element("p", { role: "status", class: "caption" });

  function controls() {
    const box = document.getElementById("controls");
    if (sparse.length === 0) return;
    const switches = methods.map((method) => {
      const change = (event) => {
        if (event.target.checked) shown.methods.add(method);
        else shown.methods.delete(method);
        update();
      };
      const input = element("input", { type: "checkbox", name: "method", value: method, checked: true, onchange: change });
      const dot = element("span", { class: "dot", style: `--colour: ${study.looks[method].colour}; --dark: ${study.looks[method].dark}`, "aria-hidden": "true" });
      return element("label", {}, input, dot, method);
    });
    const whole = (event) => {
      shown.whole = event.target.checked;
      update();
    };
    const choices = element("details", { open: innerWidth >= 640 }, element("summary", {}, "Choose what is shown"));
    box.append(choices);
    choices.append(
      select("rewind", "Rewind epoch", rewinds.map((k, i) => [i, String(k)]), shown.rewind, (i) => {
        shown.rewind = i;
        update();
      }),
      select("sparsity", "Sparsity", percents.map((text, i) => [i, text]), shown.sparsity, (i) => {
        shown.sparsity = i;
        update();
      }),
      element("fieldset", {}, element("legend", {}, "Methods"), ...switches),
      methods.includes(study.control)
        ? element("label", {}, element("input", { type: "checkbox", id: "whole", onchange: whole }), `one axis down to ${study.control}`)
        : "",
      status,
    );
    box.hidden = false;
  }

  function update() {
    for (const part of document.querySelectorAll(".rewind")) {
      const chosen = Number(part.dataset.rewind) === shown.rewind;
      part.hidden = !chosen;
      part.open = chosen;
    }
    for (const row of document.querySelectorAll("tr[data-method]")) row.hidden = !shown.methods.has(row.dataset.method);
    status.textContent =
      `Shown: rewind epoch ${rewinds[shown.rewind]} in the table and against sparsity, ` +
      `sparsity ${percents[shown.sparsity]} against the rewind epoch; ${[...shown.methods].join(", ") || "no method"}.`;
    charts();
  }

  // ---- charts ----

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const tint = (look) => (dark.matches ? look.dark : look.colour);
  const ink = (name) => tint(study.looks[name]);

  function extent(cells) {
    const ends = cells.filter(Boolean).flatMap(([mean, std]) => [mean - (std || 0), mean + (std || 0)]);
    return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
  }

  // as in print: a control that is far below the methods is drawn under a break, unless one axis is asked for
  function scale(lines, whole) {
    const main = extent(Object.keys(lines).filter((name) => name !== study.control).flatMap((name) => lines[name]));
    const control = extent(lines[study.control] || []);
    if (main === null && control === null) return {};
    const [low, high] = main || control;
    const [bottom, top] = control || main;
    const margin = 0.06 * (high - low) || 1;
    if (whole || bottom >= low - 0.5 * (high - low)) {
      return { range: [Math.min(low, bottom) - margin, Math.max(high, top) + margin] };
    }
    return { range: [low - margin, Math.max(high, top) + margin], below: [bottom - 0.06 * (low - bottom), low - margin] };
  }

  const LOWER = 0.25; // of the height, under a break
  const GAP = 0.03;

  function broken(below) {
    const ground = { type: "rect", x0: 0, x1: 1, y0: 0, y1: LOWER, fillcolor: "rgba(128, 128, 128, 0.12)", line: { width: 0 } };
    const strokes = [LOWER, LOWER + GAP].map((y) => ({ type: "line", x0: -0.008, x1: 0.008, y0: y - 0.012, y1: y + 0.012, line: { color: css("--ink"), width: 1 } }));
    const shapes = [ground, ...strokes].map((shape) => ({ xref: "paper", yref: "paper", layer: "below", ...shape }));
    return { yaxis2: { domain: [0, LOWER], range: below, nticks: 4, anchor: "x" }, shapes };
  }

  function band(positions, cells) {
    const x = [];
    const y = [];
    for (let start = 0; start < cells.length; start += 1) {
      let end = start;
      while (end < cells.length && cells[end]) end += 1;
      const part = [...Array(end - start).keys()].map((i) => start + i);
      const back = [...part].reverse();
      x.push(...part.map((i) => positions[i]), ...back.map((i) => positions[i]), null);
      y.push(...part.map((i) => cells[i][0] + (cells[i][1] || 0)), ...back.map((i) => cells[i][0] - (cells[i][1] || 0)), null);
      start = end;
    }
    const fill = { fill: "toself", line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false };
    return { x, y, ...fill };
  }

  // a point without neighbours has no band
  const alone = (cells, i) => Boolean(cells[i]) && !cells[i - 1] && !cells[i + 1];

  function traces(name, positions, cells, where, unit, count) {
    const look = study.looks[name];
    const text = cells.map((cell, i) => cell && `${name}, ${where[i]}<br>${cell[3]}${unit} (n = ${cell[2]})`);
    const line = {
      x: positions,
      y: cells.map((cell) => cell && cell[0]),
      name,
      text,
      mode: "lines+markers",
      hovertemplate: "%{text}<extra></extra>",
      line: { color: ink(name), dash: look.dash, width: 2 },
      marker: { symbol: look.symbol, size: 10, color: ink(name) },
      error_y: bars(cells.map((cell, i) => (alone(cells, i) ? cell[1] : 0))),
    };
    const opacity = Math.round(48 * Math.min(1, 4 / count)).toString(16).padStart(2, "0"); // or lines would drown in them
    return [{ ...band(positions, cells), fillcolor: `${ink(name)}${opacity}` }, line];
  }

  const bars = (array) => ({ type: "data", array, thickness: 1.5, width: 0, visible: array.some(Boolean) });

  function bands(lines, of = "run") {
    const n = Object.values(lines).flat().filter(Boolean).map((cell) => cell[2]);
    const [least, most] = [Math.min(...n), Math.max(...n)];
    if (n.length === 0 || most === 1) return n.length ? `One ${of} per point.` : "";
    const drawn = Object.values(lines).some((cells) => cells.length > 1) ? "Lines: mean; bands" : "Marks: mean; bars";
    return `${drawn}: ± one standard deviation over n = ${least === most ? most : `${least}–${most}`} ${of}s.`;
  }

  function describe(box, words) {
    box.setAttribute("aria-label", `${words.textContent} The values are in the tables of this page.`);
  }

  function draw(box, drawn, { xaxis, yaxis, yaxis2, ...own }) {
    const family = getComputedStyle(document.body).fontFamily;
    const grid = { gridcolor: css("--line"), zeroline: false, linecolor: css("--soft"), automargin: true };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: css("--ink"), family, size: 13 },
      margin: { l: 10, r: 10, t: 10, b: 10 },
      hovermode: "closest",
      hoverlabel: { font: { family } },
      legend: { orientation: "h", y: 1, yref: "container", yanchor: "top", x: 0, itemclick: false, itemdoubleclick: false },
      xaxis: { ...grid, ...xaxis },
      yaxis: { ...grid, ...yaxis },
      ...(yaxis2 ? { yaxis2: { ...grid, ...yaxis2 } } : {}),
      ...own,
    };
    Plotly.react(box, drawn, layout, { displaylogo: false, responsive: true, displayModeBar: false });
    // the label says what the chart shows; the tester is where plotly measures text
    for (const part of [box.firstElementChild, document.getElementById("js-plotly-tester")]) part.setAttribute("aria-hidden", "true");
  }

  const ASIDE = 0.1; // from one line's point to the next one's where all stand at the only position

  function chart(id, lines, positions, where, axis, caption, open) {
    const figure = document.getElementById(id);
    if (figure === null) return;
    let box = figure.querySelector(".chart");
    const first = box === null;
    if (first) {
      box = element("div", { class: "chart", role: "img" });
      figure.querySelector(".wide").replaceWith(box);
    }
    const words = figure.querySelector("figcaption");
    if (caption) words.textContent = `${caption} ${bands(lines)}`;
    describe(box, words);
    const count = Object.keys(lines).length;
    const unit = id === "barrier_along_rounds" ? " points" : "%";
    const drawn = Object.entries(lines).flatMap(([name, cells], i) => {
      const aside = positions.length === 1 ? (i - (count - 1) / 2) * ASIDE : 0;
      return traces(name, positions.map((x) => x + aside), cells, where, unit, count);
    });
    const dense = study.dense && id.startsWith("accuracy") && shown.methods.has("dense");
    if (dense) {
      const [least, most] = [Math.min(...positions), Math.max(...positions)];
      const ends = least === most ? [least - ASIDE * count, most + ASIDE * count] : [least, most];
      const text = `dense<br>${study.dense[3]}% (n = ${study.dense[2]})`;
      const line = { color: ink("dense"), dash: "dot", width: 1.5 };
      drawn.unshift({ x: ends, y: [study.dense[0], study.dense[0]], name: "dense", mode: "lines", line, text: [text, text], hovertemplate: "%{text}<extra></extra>" });
    }
    const { range, below } = scale(dense ? { ...lines, dense: [study.dense] } : lines, shown.whole);
    if (below) drawn.push(...drawn.filter(({ name }) => name !== "dense").map((trace) => ({ ...trace, yaxis: "y2", showlegend: false })));
    draw(box, drawn, {
      height: 380 + (innerWidth < 600 ? 10 * count : 0), // there, the legend takes many rows
      ...(below ? broken(below) : {}),
      xaxis: { ...axis, ...(below ? { anchor: "y2" } : {}), title: { text: innerWidth < 600 ? axis.title.text.replace(" (log", "<br>(log") : axis.title.text } },
      yaxis: { title: { text: id === "barrier_along_rounds" ? "error barrier (points)" : "test accuracy (%)" }, range, ...(below ? { domain: [LOWER + GAP, 1] } : {}) },
    });
    if (first && open) {
      box.on("plotly_click", ({ points: [point] }) => point.data.name in study.cells && open(point.data.name, point.pointIndex));
    }
  }

  function rowCharts(id, panels) {
    const figure = document.getElementById(id);
    if (figure === null) return;
    if (figure.querySelector(".chart") === null) {
      const boxes = panels.map(() => element("div", { class: "chart", role: "img" }));
      const longest = Math.max(...panels[0].names.map((name) => name.length));
      const single = { class: "panel", style: `min-width: ${9 + 0.42 * longest}rem` };
      figure.querySelector(".wide").replaceChildren(element("div", panels.length > 1 ? { class: "panels" } : single, ...boxes));
    }
    const words = figure.querySelector("figcaption");
    panels.forEach((panel, i) => rowChart(figure.querySelectorAll(".chart")[i], panel, words));
  }

  function rowChart(box, { title, names, marks, note }, words) {
    const kept = names.map((_, i) => i).filter((i) => !methods.includes(names[i]) || shown.methods.has(names[i]));
    const drawn = marks.map(({ name, hollow, looks, cells }) => {
      // what is filled has an outline on a dark page
      const colours = kept.map((i) => (hollow || looks[i].colour === "#000000" ? tint(looks[i]) : looks[i].colour));
      return {
        x: kept.map((i) => cells[i] && cells[i][0]),
        y: kept.map((i) => names[i]),
        name,
        orientation: "h",
        text: kept.map((i) => cells[i] && `${names[i]}, ${name}<br>${cells[i][3]} (n = ${cells[i][2]})`),
        mode: "markers",
        hovertemplate: "%{text}<extra></extra>",
        marker: { symbol: kept.map((i) => looks[i].symbol + (hollow ? "-open" : "")), size: 9, color: colours, line: hollow ? { width: 1.5, color: colours } : { width: dark.matches ? 1 : 0, color: css("--ink") } },
        error_x: hollow ? { visible: false } : { ...bars(kept.map((i) => (cells[i] && cells[i][1]) || 0)), color: new Set(colours).size === 1 ? tint(looks[kept[0]]) : css("--soft") },
      };
    });
    describe(box, words);
    const named = marks.length > 1 && !marks.some((mark) => mark.hollow);
    const [low, high] = extent(marks.flatMap(({ cells }) => kept.map((i) => cells[i]))) || [0, 1]; // groups would begin at 0
    const margin = 0.06 * (high - low) || 0.1;
    const label = innerWidth < 600 ? title.replace(/(.{14,}?) /g, "$1<br>") : title;
    const lines = label.split("<br>").length - 1 + (named && innerWidth < 600 ? marks.length : 0);
    draw(box, drawn, {
      height: 24 * kept.length + (named || note ? 110 : 80) + 18 * lines,
      showlegend: named,
      ...(named ? { scattermode: "group", scattergap: 0.3 } : {}), // marks that coincide stay visible
      title: note ? { text: `<span style="font-size: 12px">${note}</span>`, x: 0.5, y: 1, yref: "container", yanchor: "top", pad: { t: 8 } } : undefined,
      margin: { l: 10, r: 14, t: named || note ? 34 : 10, b: 10 },
      xaxis: { title: { text: label }, range: [low - margin, high + margin] },
      yaxis: { type: "category", autorange: "reversed" },
    });
  }

  function charts() {
    for (const [id, panels] of Object.entries(study.panels)) rowCharts(id, panels);
    const names = sparse.filter((method) => shown.methods.has(method));
    const at = (k, s) => Object.fromEntries(names.map((name) => [name, study.cells[name][k][s]]));
    const across = Object.fromEntries(names.map((name) => [name, study.cells[name][shown.rewind] || []]));
    const density = sparsities.map((sparsity) => -Math.log(1 - sparsity));
    const axis = { title: { text: `sparsity of the pruned layers${density.length > 1 ? " (log scale of density)" : ""}` }, tickvals: density, ticktext: percents };
    const found = study.findings[shown.rewind];
    const bySparsity = `${found && `${found}. `}Test accuracy against sparsity at rewind epoch ${rewinds[shown.rewind]}.`;
    chart("accuracy_against_sparsity", across, density, percents.map((text) => `sparsity ${text}`), axis, bySparsity, (name, i) =>
      behind([name], i, shown.rewind),
    );
    const along = Object.fromEntries(names.map((name) => [name, rewinds.map((_, k) => at(k, shown.sparsity)[name])]));
    const few = rewinds.length <= 12 ? { tickvals: rewinds } : {};
    const epochs = { title: { text: "rewind epoch k" }, ...few };
    const byRewind = `Test accuracy against the rewind epoch at sparsity ${percents[shown.sparsity]}.`;
    chart("accuracy_against_rewind", along, rewinds, rewinds.map((k) => `rewind epoch ${k}`), epochs, byRewind, (name, k) =>
      behind([name], shown.sparsity, k),
    );
    const [curve] = Object.values(study.curves);
    if (curve) {
      const lines = Object.fromEntries(Object.entries(study.curves).map(([name, { cells }]) => [name, cells]));
      const path = { title: { text: "α in (1 − α) · A + α · B" }, tickvals: [0, 0.25, 0.5, 0.75, 1], ticktext: ["0 (A)", "0.25", "0.5", "0.75", "1 (B)"] };
      chart("connectivity", lines, curve.alphas, curve.alphas.map((alpha) => `α = ${alpha}`), path, null, null);
    }
    const rounds = study.rounds.sparsities;
    if (rounds.length) {
      const said = rounds.map((sparsity) => `${Number((100 * sparsity).toPrecision(4))}%`);
      const log = rounds.map((sparsity) => -Math.log(1 - sparsity));
      const room = (log.at(-1) - log[0]) / (innerWidth < 600 ? 6 : 14); // of a label
      const ticks = rounds.map((_, i) => i).reduceRight((kept, i) => (kept.length && log[kept[0]] - log[i] < room ? kept : [i, ...kept]), []);
      const labels = { tickvals: ticks.map((i) => log[i]), ticktext: ticks.map((i) => `${Math.round(100 * rounds[i])}%`) };
      const axis = { title: { text: "sparsity of network A (log scale of density)" }, ...labels };
      chart("barrier_along_rounds", study.rounds.cells, log, said.map((text) => `sparsity ${text}`), axis, null, null);
    }
  }

  // ---- runs ----

  const COLUMNS = {
    method: (i) => methods[runs.method[i]],
    sparsity: (i) => percents[runs.sparsity[i]] ?? "–",
    rewind: (i) => String(rewinds[runs.rewind[i]] ?? "–"),
    pair: (i) => String(runs.pair[i]),
    trained: (i) => runs.trained[i],
    "accuracy (%)": (i) => String(runs.accuracy[i]),
    loss: (i) => String(runs.loss[i] ?? "NaN"),
  };
  const ORDER = { "accuracy (%)": "accuracy" };

  function row(i) {
    const [method, ...others] = Object.values(COLUMNS);
    const cells = [element("th", { scope: "row" }, method(i)), ...others.map((text) => element("td", {}, text(i)))];
    const origin = element("button", { type: "button", class: "plain", onclick: () => one(i) }, runs.step[i]);
    return element("tr", {}, ...cells, element("td", {}, origin));
  }

  function runsTable() {
    const box = document.getElementById("runs");
    const wanted = { method: -2, sparsity: -2, rewind: -2, pair: -2 };
    const order = { column: null, down: false };
    let indices = [];
    let first = 0;
    const body = element("tbody");
    const count = element("p", { role: "status", class: "caption" });
    const headings = Object.keys(COLUMNS).map((column) => {
      const sort = () => {
        order.down = order.column === column && !order.down;
        order.column = column;
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        search();
      };
      const heading = element("th", { scope: "col" }, element("button", { type: "button", class: "plain", onclick: sort }, column));
      return heading;
    });
    const previous = element("button", { type: "button", onclick: () => turn(-PAGE) }, "Previous");
    const next = element("button", { type: "button", onclick: () => turn(PAGE) }, "Next");

    function search() {
      indices = [];
      for (let i = 0; i < runs.method.length; i += 1) {
        if (Object.keys(wanted).every((key) => wanted[key] === -2 || runs[key][i] === wanted[key])) indices.push(i);
      }
      if (order.column) {
        const values = runs[ORDER[order.column] ?? order.column];
        const sign = order.down ? -1 : 1;
        indices.sort((a, b) => sign * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0));
      }
      first = 0;
      turn(0);
    }

    function turn(by) {
      first += by;
      body.replaceChildren(...indices.slice(first, first + PAGE).map(row));
      const last = Math.min(first + PAGE, indices.length);
      count.textContent = indices.length ? `Runs ${first + 1} to ${last} of ${indices.length}` : "No such run";
      previous.disabled = first === 0;
      next.disabled = last === indices.length;
    }

    const filter = (key, options) =>
      select(`runs-${key}`, key, [[-2, "all"], ...options], -2, (value) => {
        wanted[key] = value;
        search();
      });
    const pairs = Object.keys(study.seeds).map((pair) => [Number(pair), pair]);
    const table = element("table", { "aria-label": "Every trained network" },
      element("thead", {}, element("tr", {}, ...headings, element("th", { scope: "col" }, "step"))), body);
    box.replaceChildren(
      element("p", { class: "caption" }, "One row per trained network, as in results.csv. A step names a folder of the store; press it for where the run comes from."),
      element("div", { class: "controls" },
        filter("method", methods.map((method, i) => [i, method])),
        filter("sparsity", percents.map((text, i) => [i, text])),
        filter("rewind", rewinds.map((k, i) => [i, String(k)])),
        filter("pair", pairs)),
      element("div", { class: "wide", role: "region", "aria-label": "Every trained network", tabindex: "0" }, table),
      element("div", { class: "controls" }, previous, next, count),
    );
    search();
  }

  // ---- what is behind a number ----

  const dialog = document.getElementById("behind");

  function open(title, ...content) {
    const close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
    const specification = (event) => {
      event.preventDefault();
      dialog.close();
      const target = document.getElementById("specification");
      target.open = true;
      target.scrollIntoView();
    };
    dialog.replaceChildren(
      element("h2", { id: "behind-title" }, title),
      ...content,
      element("p", {}, element("a", { href: "#specification", onclick: specification }, "The study's complete specification")),
      close,
    );
    dialog.showModal();
  }

  function facts(entries) {
    return element("dl", {}, ...Object.entries(entries).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value) || "–")]));
  }

  function one(i) {
    const [a, b] = study.seeds[runs.pair[i]];
    const columns = Object.fromEntries(Object.entries(COLUMNS).map(([name, text]) => [name, text(i)]));
    const more = { "seed of A": a, "seed of B": b, epochs: runs.epochs[i], step: runs.step[i] };
    open("One run", facts({ ...columns, ...more, ...study.origins[runs.origin[i]] }));
  }

  function listing(head, rows) {
    const [first, ...others] = head.map((text) => element("th", { scope: "col" }, text));
    const lines = rows.map(([name, ...cells]) =>
      element("tr", {}, element("th", { scope: "row" }, String(name)), ...cells.map((cell) => element("td", {}, String(cell)))),
    );
    const table = element("table", {}, element("thead", {}, element("tr", {}, first, ...others)), element("tbody", {}, ...lines));
    return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Runs" }, table);
  }

  function behind(names, sparsity, rewind) {
    const found = names.map(() => []);
    for (let i = 0; i < runs.method.length; i += 1) {
      const which = names.indexOf(methods[runs.method[i]]);
      if (which >= 0 && runs.sparsity[i] === sparsity && runs.rewind[i] === rewind) found[which].push(i);
    }
    const at = sparsity < 0 ? "" : `, sparsity ${percents[sparsity]}, rewind epoch ${rewinds[rewind]}`;
    const made = [...new Set(found.flat().map((i) => runs.origin[i]))].map((i) => facts(study.origins[i]));
    const list = names.length === 1 ? single(found[0]) : differences(names, found);
    open(`${names.join(" − ")}${at}`, list, ...made);
  }

  function single(found) {
    const head = ["pair", "accuracy (%)", "loss", "trained", "seed of A", "seed of B", "epochs", "step"];
    const row = (i) => [runs.pair[i], runs.accuracy[i], COLUMNS.loss(i), runs.trained[i], ...study.seeds[runs.pair[i]], runs.epochs[i], runs.step[i]];
    return listing(head, found.map(row));
  }

  function differences(names, [minuends, subtrahends]) {
    const of = new Map(subtrahends.map((i) => [runs.pair[i], i]));
    const rows = minuends.filter((i) => of.has(runs.pair[i])).map((i) => {
      const j = of.get(runs.pair[i]);
      const difference = (runs.accuracy[i] - runs.accuracy[j]).toFixed(4);
      return [runs.pair[i], difference, runs.accuracy[i], runs.accuracy[j], ...study.seeds[runs.pair[i]], runs.step[i], runs.step[j]];
    });
    const [first, second] = names;
    return listing(["pair", "difference", `${first} (%)`, `${second} (%)`, "seed of A", "seed of B", `step of ${first}`, `step of ${second}`], rows);
  }

  for (const cell of document.querySelectorAll("td[data-runs]")) {
    const { runs: names, sparsity, rewind } = cell.dataset;
    const at = [sparsities.indexOf(Number(sparsity)), rewind ? rewinds.indexOf(Number(rewind)) : -1];
    const press = () => behind(names.split("|"), ...at);
    const button = element("button", { type: "button", class: "plain", title: "The runs behind this number", onclick: press });
    button.append(...cell.childNodes);
    cell.append(button);
  }

  controls();
  runsTable();
  if (sparse.length) update();
  else charts();
  dark.addEventListener("change", charts);
  document.documentElement.dataset.ready = "true";
})();
