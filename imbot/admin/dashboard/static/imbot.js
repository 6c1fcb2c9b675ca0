// What the pages cannot do by themselves: keep up with imbot, draw charts, and find a token in the address.

"use strict";

// Logging in: whoever opens /login#TOKEN need not type it; no browser sends what stands behind the #. ------------------

const login = document.getElementById("login");

function enterWithAddress() {
  if (location.hash.length > 1) {
    login.elements.token.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    login.submit();
  }
}

if (login) {
  enterWithAddress();
  // Whoever opens such an address where the login is open already stays on this page.
  addEventListener("hashchange", enterWithAddress);
}

// Keeping up: imbot tells which topics moved, and a page that shows one of them fetches itself anew. --------------------

const page = () => document.getElementById("page");
let source = null;

// A page is fetched by one request at a time. What takes long to make, or to come, is asked for more rarely, so that
// in the end it is fetched for a tenth of the time.
const QUICK_MS = 150;  // what takes no longer is asked for as often as it moves
const PAUSE = 9;  // times as long as the last fetch took beyond that
const LONGEST_MS = 60_000;  // a fetch of whose end nothing is heard keeps no other waiting for longer
let isOutdated = false;
let begunAt = -Infinity;
let freeAt = 0;

function outdated() {
  if (!isOutdated) {
    isOutdated = true;
    fetchWhenFree();
  }
}

function fetchWhenFree() {
  const now = performance.now();
  if (now < freeAt) {
    setTimeout(fetchWhenFree, Math.min(freeAt - now, 100));
    return;
  }
  isOutdated = false;
  begunAt = now;
  freeAt = now + LONGEST_MS;
  htmx.trigger(page(), "moved");
}

function fetched(event) {
  if (event.detail.ctx.sourceElement.id === "page") {
    const now = performance.now();
    freeAt = now + Math.min(PAUSE * Math.max(now - begunAt - QUICK_MS, 0), LONGEST_MS);
  }
}

function concerns(moved) {
  const topics = (page().dataset.topics || "").split(" ");
  return topics.some(topic => moved.includes(topic) || (topic.startsWith("session:") && moved.includes("session:*")));
}

function heard(event) {
  const { moved } = JSON.parse(event.data);
  const link = document.getElementById("link");
  link.textContent = "live";
  link.className = "";
  if (moved.includes("condition") || concerns(moved)) {
    outdated();
  }
}

function lost() {
  const link = document.getElementById("link");
  link.textContent = "imbot does not answer; this is how it was";
  link.className = "lost";
  if (source.readyState === EventSource.CLOSED) {
    // It answers and does not know this login any more: it was started anew.
    setTimeout(() => location.reload(), 2000);
  }
}

function listen() {
  source = new EventSource("/live");
  source.onmessage = heard;
  source.onerror = lost;
}

// Charts -----------------------------------------------------------------------------------------------------------------

const charts = [];
let series = null;  // the pulse of the last hour: columns of the same length

// A minute's worth up to each moment, so that a chart of single steps does not flicker.
function perMinute(column) {
  const steps = 60 / series.step_s;
  let sum = 0;
  return column.map((value, index) => sum += value - (index >= steps ? column[index - steps] : 0));
}

const clock = at => new Date(at * 1000).toLocaleTimeString("en-GB");
const inMs = column => column.map(value => value === null ? null : value * 1000);

const SHOWN = {
  rates: () => [["events", perMinute(series.events)], ["replies", perMinute(series.replies)]],
  latency: () => [["median", inMs(series.echo_p50_s)], ["slowest 5 %", inMs(series.echo_p95_s)]],
  trouble: () => [["failed", perMinute(series.failed)], ["parked", perMinute(series.parked)],
    ["suppressed", perMinute(series.suppressed)]],
};

class Chart {
  constructor(place) {
    this.place = place;
    this.shown = SHOWN[place.dataset.chart];
    this.plot = null;
  }

  draw() {
    const lines = this.shown();
    const columns = [series.at, ...lines.map(([, column]) => column)];
    if (this.plot) {
      this.plot.setData(columns);
      return;
    }
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
      font: "11px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.place.clientWidth,
      height: 150,
      legend: { live: false },
      cursor: { y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, size: 28, space: 70, values: (_, moments) => moments.map(clock) }, { ...axis, size: 42, space: 28 }],
      series: [{}, ...lines.map(([label], index) => ({ label, width: 1.75, spanGaps: true, points: { show: false },
        stroke: colour(`--chart-${index + 1}`) }))],
    }, columns, this.place);
  }

  again() {
    if (this.plot) {
      this.plot.destroy();
      this.plot = null;
    }
  }
}

// The last step still went on when it was asked for, so the next answer begins with it.
function append(pulse) {
  const kept = series.at.length - 1;
  for (const [name, column] of Object.entries(pulse)) {
    if (Array.isArray(column)) {
      series[name] = [...series[name].slice(0, kept), ...column].slice(-3600 / pulse.step_s);
    }
  }
}

async function keepChartsUp() {
  const since = series ? `?since=${series.at.at(-1)}` : "";
  const reply = await fetch(`/pulse${since}`).catch(() => null);
  if (!reply?.ok) {
    return;  // the foot of the page tells it
  }
  const pulse = await reply.json();
  if (series && pulse.at[0] === series.at.at(-1)) {
    append(pulse);
  } else {
    series = pulse;
  }
  charts.forEach(chart => chart.draw());
}

function drawAnew() {
  if (!series) {
    return;  // the first answer is not there yet, and will draw them
  }
  charts.forEach(chart => {
    chart.again();
    chart.draw();
  });
}

// The beginning -----------------------------------------------------------------------------------------------------------

if (page()) {
  document.querySelectorAll("[data-chart]").forEach(place => charts.push(new Chart(place)));
  if (charts.length) {
    keepChartsUp();
    setInterval(() => document.hidden || keepChartsUp(), 5000);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
    addEventListener("resize", drawAnew);
  }
  document.addEventListener("htmx:finally:request", fetched);
  listen();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      listen();
      outdated();
    }
  });
  document.addEventListener("keydown", event => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      document.getElementById("number").focus();
    } else if (event.key === "Escape") {
      document.querySelectorAll("details.pop[open]").forEach(each => each.removeAttribute("open"));
    }
  });
}
