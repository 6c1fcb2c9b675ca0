// What the pages cannot do by themselves: keep up with imbot, draw charts, and find a token in the address.

"use strict";

// Logging in: whoever opens /login#TOKEN need not type it; no browser sends what stands behind the #. ------------------

const login = document.getElementById("login");
if (login && location.hash.length > 1) {
  login.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  login.submit();
}

// Keeping up: imbot tells which topics moved, and a page that shows one of them fetches itself anew. --------------------

const page = () => document.getElementById("page");
let source = null;

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
    htmx.trigger(page(), "moved");
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

const PER_MINUTE = 12;  // so many of the pulse's spans
const charts = [];

const perMinute = column => column.map(value => value === null ? null : value * PER_MINUTE);
const inMs = column => column.map(value => value === null ? null : value * 1000);

const SHOWN = {
  rates: pulse => [["events", perMinute(pulse.events)], ["replies", perMinute(pulse.replies)]],
  latency: pulse => [["median", inMs(pulse.echo_p50_s)], ["slowest 5 %", inMs(pulse.echo_p95_s)]],
  trouble: pulse => [["failed", perMinute(pulse.failed)], ["parked", perMinute(pulse.parked)],
    ["suppressed", perMinute(pulse.suppressed)]],
};

class Chart {
  constructor(place) {
    this.place = place;
    this.shown = SHOWN[place.dataset.chart];
    this.plot = null;
  }

  draw(pulse) {
    const series = this.shown(pulse);
    const columns = [pulse.at, ...series.map(([, column]) => column)];
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
      height: this.place.clientHeight - 24,
      cursor: { y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, space: 70 }, { ...axis, size: 42, space: 28 }],
      series: [{}, ...series.map(([label], index) => ({ label, width: 1.75, spanGaps: true, points: { show: false },
        stroke: colour(`--chart-${index + 1}`), value: (_, value) => value === null ? "–" : value.toFixed(value < 10 ? 1 : 0) }))],
    }, columns, this.place);
  }

  again() {
    if (this.plot) {
      this.plot.destroy();
      this.plot = null;
    }
  }
}

async function keepChartsUp() {
  const reply = await fetch("/pulse", { headers: { Accept: "application/json" } });
  if (reply.ok) {
    const pulse = await reply.json();
    charts.forEach(chart => chart.draw(pulse));
  }
}

function drawAnew() {
  charts.forEach(chart => chart.again());
  keepChartsUp();
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
  listen();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      listen();
      htmx.trigger(page(), "moved");
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
