// Draws a page's charts and keeps the page fresh. All else on it works without this script.
"use strict";

const main = document.getElementById("main");
const isLocal = main.dataset.local === "true";
const zone = isLocal ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";

// ---- Words and numbers for a person. ----

/** Three digits or more, with commas; as the receiver writes them. */
function digits(number) {
    const size = Math.abs(number);
    const most = Number.isInteger(number) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 ? 2 : 4;
    return number.toLocaleString("en-US", { maximumFractionDigits: most });
}

function scaled(number, base, units) {
    let unit = 0;
    while (Math.abs(number) >= base && unit + 1 < units.length) {
        number /= base;
        unit += 1;
    }
    return digits(number) + " " + units[unit];
}

/** As many thousands of thousands as there are; smaller numbers stand whole. */
function count(number) {
    const size = Math.abs(number);
    if (size >= 1e9) return digits(number / 1e9) + " G";
    return size >= 1e6 ? digits(number / 1e6) + " M" : digits(number);
}

const bytes = (number) => scaled(number, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

function duration(seconds) {
    if (seconds < 120) return digits(seconds) + " s";
    if (seconds < 7200) return digits(seconds / 60) + " min";
    if (seconds < 172800) return digits(seconds / 3600) + " h";
    return digits(seconds / 86400) + " d";
}

/** The length of a step. */
function span(seconds) {
    if (seconds < 3600) return `${seconds / 60} min`;
    return seconds < 86400 ? `${seconds / 3600} h` : "a day";
}

const UNITS = {
    count,
    number: count,
    cores: (number) => digits(number),
    bytes,
    rate: (number) => bytes(number) + "/s",
    mebibytes: (number) => bytes(number * 1048576),
    seconds: duration,
    share: (number) => digits(number * 100) + " %",
};

/** Between two marks of an axis, where round numbers of the unit are no round decimals. Whole: uPlot counts on it. */
const BINARY = Array.from({ length: 63 }, (_, power) => 2 ** power);
const DAYS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6].map((days) => days * 86400);
const MARKS = {
    bytes: BINARY,
    rate: BINARY,
    mebibytes: BINARY,
    seconds: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, ...DAYS],
};

/** A time to the minute, in the page's zone; seconds since 1970. */
function minute(seconds) {
    const parts = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short", timeZone: zone });
    return parts.format(new Date(seconds * 1000));
}

/** An element with a class, a text and children. */
function element(name, { text, className, ...rest } = {}, children = []) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(rest)) made.setAttribute(key, value);
    made.append(...children);
    return made;
}

// ---- Charts. ----

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** States, doors and systems have their own colours, so that they look the same everywhere. */
const NAMED = new Map([
    ["running", 0], ["idle", 1], ["finished", 2], ["completed", 2], ["held", 3], ["removed", 5], ["unknown", 4],
    ["failed", 11], ["timed out", 7], ["out of memory", 8], ["suspended", 6], ["configuring", 9], ["completing", 10],
    ["HTCondor", 0], ["Slurm", 1],
    ["ssh", 0], ["jupyter", 1], ["batch", 2], ["together", 4], ["the rest", 4],
]);
const COLOURS = 12;

/** The colour of each series of a chart, by its name: all others have in turn what no named one has. */
function colours(names) {
    const own = new Map();
    for (const name of names) {
        const number = NAMED.get(name);
        if (number !== undefined && ![...own.values()].includes(number)) own.set(name, number);
    }
    const taken = new Set(own.values());
    const all = Array.from({ length: COLOURS }, (_, number) => number);
    const left = all.filter((number) => !taken.has(number));
    // Where named ones have them all, the others share theirs.
    const free = left.length ? left : all;
    let next = 0;
    return new Map(names.map((name) => [name, style(`--series-${own.get(name) ?? free[next++ % free.length]}`)]));
}

/** Indices of numbers without a neighbour, which a line would not show. */
function alone(values) {
    const is = (at) => values[at] !== null && values[at] !== undefined;
    return values.map((_, at) => at).filter((at) => is(at) && !is(at - 1) && !is(at + 1));
}

/** Each series with those below it added. One that has a gap is not drawn there, and the next lies on what is below. */
function stacked(series) {
    let below = [];
    return series.map((one) => {
        const sums = one.values.map((value, at) => (below[at] ?? 0) + (value ?? 0));
        below = sums;
        return sums.map((sum, at) => (one.values[at] === null ? null : sum));
    });
}

/** Labels of the axis of times: from which distance of two on, what, and what below when the year or day is new. */
const DATES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
    [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

/** Points across a sheet of paper, within its margins. */
const PAPER = 680;
let isPaper = false;

class Chart {
    constructor(box) {
        this.box = box;
        this.shape = box.dataset.shape;
        this.text = UNITS[box.dataset.unit];
        this.hidden = new Set();
        new ResizeObserver(() => this.fit()).observe(box);
    }

    /** Gets the numbers and draws them. Fails if that is in vain and older ones are drawn, which stay. */
    async load() {
        this.box.setAttribute("aria-busy", "true");
        try {
            const answer = await fetch(this.box.dataset.url, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE) });
            const data = await answer.json();
            if (!answer.ok) throw new Error(data.error);
            this.data = data;
            this.draw();
        } catch (why) {
            if (this.data) throw why;
            this.say("bad", `No numbers: ${reason(why)}`);
        } finally {
            this.box.removeAttribute("aria-busy");
        }
    }

    say(className, text) {
        this.plot?.destroy();
        this.plot = null;
        this.box.replaceChildren(element("p", { className, text, role: "status" }));
    }

    /** Draws, and leaves the keyboard's focus and the legend's rows where they were. */
    draw() {
        const before = this.box.querySelector(".legend");
        const [top, left] = [before?.scrollTop ?? 0, before?.scrollLeft ?? 0];
        const isLegend = before !== null && before === document.activeElement;
        const focused = before?.contains(document.activeElement) ? document.activeElement.textContent : null;
        this.show();
        const after = this.box.querySelector(".legend");
        if (!after) return;
        const button = [...after.querySelectorAll("button")].find((one) => one.textContent === focused);
        (isLegend ? after : button)?.focus({ preventScroll: true });
        after.scrollTo(left, top);
    }

    show() {
        const { series } = this.data;
        const isKnown = series.some((one) => one.values.some((value) => value !== null));
        if (!isKnown) {
            this.say("none", "Nothing was heard in this span.");
        } else {
            this.plot?.destroy();
            this.plot = null;
            this.colours = colours(series.map((one) => one.name));
            const picture = element("div", { className: "picture" });
            this.box.replaceChildren(picture);
            if (this.shape === "heat") {
                this.heat(picture);
            } else {
                this.lines(picture);
            }
        }
        const notes = this.notes(isKnown);
        if (notes.length > 0) this.box.append(element("p", { className: "about", text: notes.join(" ") }));
        if (isKnown) this.box.append(this.legend());
    }

    /** Sentences about the numbers. */
    notes(isKnown) {
        const { series, times, step, more, says } = this.data;
        const notes = says ? [says] : [];
        // The last step is not over, and what it will have is on its way: it counts from when it has something.
        const length = step ?? (times.at(-1) - times.at(-2) || 0);
        const isOver = (time) => time + length + 300 <= Date.now() / 1000;
        const isHeard = times.map((_, at) => series.some((one) => one.values[at] !== null));
        const heard = isHeard.filter(Boolean).length;
        const gaps = times.filter((time, at) => isOver(time) && !isHeard[at]).length;
        if (isKnown && step) notes.push(`Steps of ${span(step)}: least, mean and most are of steps.`);
        if (isKnown && gaps > 0) notes.push(`Gaps: nothing was heard in ${gaps} of ${gaps + heard} steps.`);
        if (this.shape.endsWith("stack")) {
            const lacks = (one) => times.filter((time, at) => isOver(time) && isHeard[at] && one.values[at] === null).length;
            notes.push(...this.partial(series.map((one) => [one.name, lacks(one)]), heard));
        }
        if (more) notes.push(more);
        return notes;
    }

    /** Which series of a stack have no number where others have one: the stack is no whole there. */
    partial(lacking, heard) {
        const all = lacking.filter(([, steps]) => steps > 0).sort((one, other) => other[1] - one[1]);
        if (all.length === 0) return [];
        const said = all.slice(0, 8).map(([name, steps]) => `${name} in ${steps}`);
        const rest = all.length > said.length ? `, and ${all.length - said.length} more series` : "";
        return [`Not heard of where others were: ${said.join(", ")} of ${heard} steps${rest}.`];
    }

    summary() {
        const { series, from, to } = this.data;
        const all = series.slice(0, 8).map((one) => `${one.name} ${this.numbers(one).join(", ")}`);
        return `Chart from ${minute(from)} to ${minute(to)}. Least, mean, most, last: ${all.join("; ")}.`;
    }

    /** Least, mean, most and last of a series. */
    numbers(one) {
        const known = one.values.filter((value) => value !== null);
        if (known.length === 0) return ["–", "–", "–", "–"];
        const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
        const least = known.reduce((a, b) => Math.min(a, b));
        const most = known.reduce((a, b) => Math.max(a, b));
        return [least, mean, most, known.at(-1)].map(this.text);
    }

    lines(picture) {
        picture.setAttribute("role", "img");
        picture.setAttribute("aria-label", this.summary());
        const { from, to, times, step } = this.data;
        const shown = this.data.series.filter((one) => !this.hidden.has(one.name));
        const isStack = this.shape.endsWith("stack");
        const isBars = this.shape.startsWith("bar");
        const values = isStack ? stacked(shown) : shown.map((one) => one.values);
        const series = shown.map((one, at) => {
            const stroke = this.colours.get(one.name);
            const own = values[at];
            return {
                label: one.name,
                stroke,
                width: isStack ? 1 : shown.length > 12 ? 1 : 2,
                fill: isStack || isBars ? stroke : undefined,
                spanGaps: false,
                paths: isBars ? uPlot.paths.bars({ size: [0.8, 60], align: 1 }) : undefined,
                points: isBars ? { show: false } : { show: true, size: 5, filter: () => alone(own) },
            };
        });
        if (isStack) {
            series.reverse();
            values.reverse();
        }
        const ink = style("--soft");
        const axis = { stroke: ink, grid: { stroke: style("--grid"), width: 1 }, ticks: { stroke: style("--grid") } };
        const options = {
            width: this.width(picture),
            height: 220,
            tzDate: (seconds) => (isLocal ? new Date(seconds * 1000) : uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC")),
            scales: { x: { min: Math.min(from, times[0]), max: isBars ? Math.max(to, times.at(-1) + (step ?? 0)) : to }, y: { range: (_, least, most) => [Math.min(0, least), most > 0 ? most * 1.05 : 1] } },
            axes: [{ ...axis, values: DATES }, { ...axis, size: 80, incrs: MARKS[this.box.dataset.unit], values: (_, all) => all.map(this.text) }],
            legend: { show: false },
            cursor: { drag: { x: true, y: false, setScale: false }, points: { show: !isStack } },
            hooks: { setSelect: [(plot) => this.zoom(plot)], setCursor: [(plot) => this.point(plot.cursor.idx)] },
            series: [{}, ...series],
        };
        this.plot = new uPlot(options, [times, ...values], picture);
    }

    /** Shows the part of the span that was drawn over. */
    zoom(plot) {
        const { left, width } = plot.select;
        if (width < 8) return;
        const at = (pixel) => String(Math.round(plot.posToVal(pixel, "x")) * 1000);
        const url = new URL(location.href);
        url.searchParams.set("from", at(left));
        url.searchParams.set("to", at(left + width));
        location.assign(url);
    }

    /** The numbers under the pointer stand in the legend. */
    point(at) {
        if (!this.rows) return;
        const isOver = at !== null && at !== undefined;
        this.when.textContent = isOver ? minute(this.data.times[at]) : "Last";
        for (const { one, cell, last } of this.rows) {
            const value = one.values[at];
            cell.textContent = !isOver ? last : value === null ? "–" : this.text(value);
        }
    }

    legend() {
        this.when = element("th", { scope: "col", className: "number", text: "Last" });
        this.rows = [];
        const row = (one) => {
            const [least, mean, most, last] = this.numbers(one);
            const cell = element("td", { className: "number", text: last });
            this.rows.push({ one, cell, last });
            const rest = [least, mean, most].map((text) => element("td", { className: "number", text }));
            return element("tr", {}, [element("th", { scope: "row" }, [this.shape === "heat" ? one.name : this.button(one.name)]), cell, ...rest]);
        };
        const heads = ["Least", "Mean", "Most"].map((text) => element("th", { scope: "col", className: "number", text }));
        const head = element("tr", {}, [element("th", { scope: "col", text: "Series" }), this.when, ...heads]);
        const body = this.data.series.map(row);
        const table = element("table", {}, [element("thead", {}, [head]), element("tbody", {}, body)]);
        return element("div", { className: "legend", tabindex: "0", role: "region", "aria-label": "Series" }, [table]);
    }

    /** Shows and hides a series. */
    button(name) {
        const button = element("button", { type: "button", "aria-pressed": String(!this.hidden.has(name)) });
        const swatch = element("i");
        swatch.style.background = this.colours.get(name);
        button.append(swatch, name);
        button.addEventListener("click", () => {
            if (!this.hidden.delete(name)) this.hidden.add(name);
            button.focus();
            this.draw();
        });
        return button;
    }

    /** A strip for each series, as wide as the span; striped where nothing is known. */
    heat(picture) {
        const { series, times, from, to } = this.data;
        const most = series.reduce((most, one) => one.values.reduce((a, b) => Math.max(a, b ?? 0), most), 1e-9);
        const readout = element("p", { className: "about", text: `Darkest: ${this.text(most)}.` });
        const table = element("div", { className: "heat" });
        for (const one of series) {
            const told = `${one.name}, from ${minute(from)} to ${minute(to)}; its numbers are in the table below.`;
            const canvas = element("canvas", { width: times.length, height: 1, role: "img", "aria-label": told });
            const pen = canvas.getContext("2d");
            pen.fillStyle = style("--heat");
            one.values.forEach((value, at) => {
                if (value === null) return;
                pen.clearRect(at, 0, 1, 1);
                pen.globalAlpha = 1;
                pen.fillStyle = style("--cold");
                pen.fillRect(at, 0, 1, 1);
                pen.globalAlpha = Math.max(0, value / most);
                pen.fillStyle = style("--heat");
                pen.fillRect(at, 0, 1, 1);
            });
            canvas.addEventListener("pointermove", (event) => {
                const at = Math.floor((event.offsetX / canvas.clientWidth) * times.length);
                const value = one.values[at];
                const says = value === null || value === undefined ? "nothing was heard" : this.text(value);
                readout.textContent = `${one.name}, ${minute(times[at] ?? times[0])}: ${says}. Darkest: ${this.text(most)}.`;
            });
            table.append(element("span", { text: one.name }), canvas);
        }
        const ends = [times[0], times[times.length >> 1], times.at(-1)].map((time) => element("span", { text: minute(time) }));
        table.append(element("span"), element("div", { className: "axis" }, ends));
        picture.append(table);
        this.box.append(readout);
    }

    width(picture) {
        return isPaper ? PAPER : picture.clientWidth;
    }

    fit() {
        const picture = this.box.querySelector(".picture");
        if (!this.plot || !picture || isPaper) return;
        const width = this.width(picture);
        if (Math.abs(width - this.plot.width) > 1) this.plot.setSize({ width, height: this.plot.height });
    }
}

// ---- The page. ----

/** How long an answer may take, in ms; the receiver gives up on a question after 30 s. */
const PATIENCE = 40000;

let charts = [];

function begin() {
    charts = [...document.querySelectorAll(".chart")].map((box) => new Chart(box));
    charts.forEach((chart) => chart.load());
    localise(document);
}

const redraw = () => charts.forEach((chart) => chart.data && chart.draw());

/** Times that stand on the page, and their zone, are the browser's where that is asked for. */
function localise(within) {
    for (const time of within.querySelectorAll("time")) {
        const seconds = Date.parse(time.dateTime) / 1000;
        time.title = `${minute(seconds)} ${zone}`;
        if (isLocal && /^\d/.test(time.textContent) && time.textContent.includes(":")) time.textContent = minute(seconds);
    }
    for (const place of within.querySelectorAll("[data-zone]")) place.textContent = zone;
}

/** Why something was not to be had, for a person. */
function reason(why) {
    const isSilent = why instanceof TypeError || why.name === "TimeoutError";
    return isSilent ? "the receiver does not answer" : why.message;
}

let renewed = Date.now();
let isRenewing = false;

/** Brings the newest into the page; if that is in vain then the page says so, until it is not. */
async function refresh() {
    if (isRenewing || document.hidden || document.querySelector("details[open]")) return;
    isRenewing = true;
    const stale = document.getElementById("stale");
    try {
        await renew();
        renewed = Date.now();
        stale.replaceChildren();
    } catch (why) {
        const text = `Not renewed since ${minute(renewed / 1000)} ${zone}: ${reason(why)}.`;
        // Said once, not each time.
        if (stale.textContent !== text) stale.replaceChildren(element("p", { className: "note", text }));
    } finally {
        isRenewing = false;
    }
}

/** Takes the newest tables and numbers into the page, and draws the charts anew. */
async function renew() {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE) });
    // Whoever is not logged in any more is asked to.
    if (answer.status === 401) return location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok) {
        const said = fresh.querySelector("[role=alert]")?.textContent.replace(/\.$/, "");
        throw new Error(said ?? `the receiver answers ${answer.status}`);
    }
    // Nor is a stranger shown it, who is answered with the front page in place of the overview.
    if (!fresh.querySelector("main[data-refresh]")) return location.reload();
    for (const part of document.querySelectorAll(".notes, .sheet, .panel")) {
        if (!part.querySelector(".chart")) replace(part, fresh.getElementById(part.id));
    }
    const drawn = await Promise.allSettled(charts.map((chart) => chart.load()));
    const failed = drawn.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
}

/** Takes a newer part into the page, unless somebody is at it. */
function replace(part, other) {
    const marked = getSelection();
    const isMarked = !marked.isCollapsed && marked.containsNode(part, true);
    if (!other || isMarked || part.contains(document.activeElement)) return;
    const scrolled = part.querySelector(".scroll");
    const [top, left] = [scrolled?.scrollTop ?? 0, scrolled?.scrollLeft ?? 0];
    part.replaceChildren(...other.childNodes);
    part.querySelector(".scroll")?.scrollTo(left, top);
    localise(part);
}

/** Refreshes as often as is asked for; at once, if it is time and the page was out of sight. */
function keepFresh(period) {
    setInterval(refresh, period);
    document.addEventListener("visibilitychange", () => {
        if (Date.now() - renewed >= period) refresh();
    });
}

/** Charts on paper are as wide as it is, and dark on light. */
function paper() {
    const draw = (is) => {
        isPaper = is;
        document.documentElement.classList.toggle("paper", is);
        redraw();
    };
    addEventListener("beforeprint", () => draw(true));
    addEventListener("afterprint", () => draw(false));
}

/** The picker's fields are in the page's zone; what is sent is UTC. */
function spanFields() {
    const form = document.getElementById("span");
    const fields = [...form.elements].filter((field) => field.type === "datetime-local");
    const shift = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60000);
    if (isLocal) {
        for (const field of fields) field.value = shift(new Date(field.value + "Z")).toISOString().slice(0, 16);
    }
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        const url = new URL(form.action);
        for (const [name, value] of new FormData(form)) {
            const isTime = name === "from" || name === "to";
            if (value) url.searchParams.set(name, isTime && isLocal ? new Date(value).toISOString() : value);
        }
        location.assign(url);
    });
}

/** A choice counts at once; made with the keyboard, where each key makes another, when it is sent. */
function choices(form) {
    let isByKey = false;
    form.addEventListener("keydown", (event) => {
        isByKey = true;
        if (event.key !== "Enter" || !form.classList.contains("changed")) return;
        event.preventDefault();
        form.requestSubmit();
    });
    form.addEventListener("pointerdown", () => (isByKey = false));
    form.addEventListener("change", () => {
        form.classList.add("changed");
        if (!isByKey) form.requestSubmit();
    });
    form.addEventListener("formdata", ({ formData }) => {
        for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
    });
    // Who comes back finds what the page shows, not what was chosen on leaving it.
    addEventListener("pageshow", () => {
        form.reset();
        form.classList.remove("changed");
    });
}

function controls() {
    for (const form of document.querySelectorAll("form.view")) choices(form);
    const picker = document.querySelector(".picker");
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && picker.open) {
            picker.open = false;
            picker.querySelector("summary").focus();
        }
    });
    document.addEventListener("click", (event) => {
        if (!picker.contains(event.target)) picker.open = false;
    });
}

controls();
spanFields();
begin();
paper();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
if (main.dataset.refresh) keepFresh(Number(main.dataset.refresh) * 1000);
