"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const settings = read("settings");
  const texts = [];
  const rows = [];
  for (const line of read("rows")) {
    if (Array.isArray(line)) texts[line[0]] = line[1];
    else rows.push(line);
  }
  const told = (value) => (typeof value === "number" ? texts[value] : value) ?? "";
  const PAGE = 50, PRINTED = 2000;
  const OUTCOMES = { rejected: "more than noise", kept: "may be noise", no_region: "no region", refused: "refused", failed: "failed" };
  const outcome = (row) => (row.s === "tested" ? (row.a <= settings.rate ? "rejected" : "kept") : row.s);
  const body = document.querySelector("#table tbody");
  const [search, status, group] = ["search", "status", "group"].map((id) => document.getElementById(id));
  const [count, page, back, next] = ["count", "page", "back", "next"].map((id) => document.getElementById(id));
  const heads = [...document.querySelectorAll("#table th[data-key]")];
  let sorted = { key: "n", up: true }, at = 0, found = rows;

  const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
  const visible = (text) => String(text).replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  const make = (name, content, kind) => {
    const node = document.createElement(name);
    if (content !== undefined) node.textContent = visible(content);
    if (kind) node.className = kind;
    return node;
  };
  const value = (row, key) => {
    if (key === "g") return told(row.g);
    if (key === "o") return OUTCOMES[outcome(row)];
    return row[key];
  };
  const shown = (number) => (number === undefined ? "" : String(Number(number.toPrecision(3))));
  const address = (path) => path.split("/").map(encodeURIComponent).join("/");

  function picture(row, kind) {
    const image = make("img", undefined, kind);
    image.loading = "lazy";
    image.alt = `${row.i} and its saliency map side by side, the marked region outlined: ${row.r}`;
    image.src = address(row.pic);
    return image;
  }

  function detail(row) {
    const box = make("div", undefined, "detail");
    const heading = make("h3", `${row.i}: ${OUTCOMES[outcome(row)]}`);
    box.append(heading);
    if (row.pic) box.append(picture(row, "large"));
    const list = make("dl");
    const add = (name, text) => { if (text !== undefined && text !== "") list.append(make("dt", name), make("dd", text)); };
    add("why", told(row.why));
    if (row.s === "tested") {
      add("p-value", `${row.pt} (bounds ${row.b[0]} to ${row.b[1]}), adjusted over all images ${shown(row.a)}`);
      add("interval", row.ci);
    }
    add("region", row.r);
    add("map", told(row.map));
    add("hypothesis", told(row.h));
    add("reference", told(row.ref) || (row.s === "tested" ? "none" : ""));
    add("guarantee", told(row.gu));
    add("noise", told(row.no));
    if (row.s === "tested") add("deployed runtime", row.d === undefined ? "not compared" : row.d ? `${row.d} pixels differ` : "marks the same region");
    for (const [name, text] of Object.entries(row.c ?? {})) add(name, text);
    box.append(list);
    for (const text of row.w ?? []) box.append(make("p", told(text), "warning"));
    if (row.cmd) {
      box.append(make("p", `To repeat it, in the folder ${document.getElementById("base").textContent}:`));
      const code = make("pre");
      code.append(make("code", row.cmd.map((part) => (typeof part === "number" ? texts[part] : part ?? "")).join("")));
      box.append(code);
    }
    return box;
  }

  function line(row) {
    const node = make("tr");
    node.append(make("td", row.n, "number"), make("td", row.i, "name"), make("td", told(row.g), "rare"));
    const kind = outcome(row);
    node.append(make("td", OUTCOMES[kind]), make("td", row.pt ?? "", "number"), make("td", shown(row.a), "number rare"));
    node.append(make("td", row.px ?? "", "number rare"));
    const cell = make("td");
    if (row.pic) cell.append(picture(row, "small"));
    const last = make("td"), button = make("button", "show");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", `details of ${row.i}`);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      button.textContent = open ? "show" : "hide";
      if (open) { node.nextSibling.remove(); return; }
      const more = make("tr"), wide = make("td");
      wide.colSpan = 9;
      wide.append(detail(row));
      more.append(wide);
      node.after(more);
    });
    last.append(button);
    node.append(cell, last);
    return node;
  }

  function draw(first, length) {
    body.replaceChildren(...found.slice(first, first + length).map(line));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    count.textContent = `${found.length} of ${rows.length} images`;
    page.textContent = `page ${at + 1} of ${pages}`;
    back.disabled = at === 0;
    next.disabled = at + 1 >= pages;
  }

  function arrange() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => {
      const kind = outcome(row);
      if (status.value && kind !== status.value) return false;
      if (group.value && told(row.g) !== group.value) return false;
      if (!words.length) return true;
      const text = [row.i, told(row.g), OUTCOMES[kind], told(row.why), ...Object.values(row.c ?? {})].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const sign = sorted.up ? 1 : -1;
    found = rows.filter(fits).sort((one, other) => {
      const a = value(one, sorted.key), b = value(other, sorted.key);
      if (a === b) return one.n - other.n;
      if (a === undefined || a === "") return 1;
      if (b === undefined || b === "") return -1;
      return a < b ? -sign : sign;
    });
    for (const head of heads) {
      const own = head.dataset.key === sorted.key;
      head.setAttribute("aria-sort", own ? (sorted.up ? "ascending" : "descending") : "none");
    }
    at = 0;
    draw(0, PAGE);
  }

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const key = head.dataset.key;
      sorted = { key, up: sorted.key === key ? !sorted.up : true };
      arrange();
    });
  }
  for (const name of settings.groups) {
    const option = make("option", name);
    option.value = name;
    group.append(option);
  }
  let waiting;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(arrange, 120); });
  for (const node of [status, group]) node.addEventListener("change", arrange);
  back.addEventListener("click", () => { at -= 1; draw(at * PAGE, PAGE); });
  next.addEventListener("click", () => { at += 1; draw(at * PAGE, PAGE); });
  addEventListener("beforeprint", () => draw(0, PRINTED));
  addEventListener("afterprint", () => draw(at * PAGE, PAGE));
  arrange();
})();
