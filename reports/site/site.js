"use strict";
// Sorting, copying and browsing; pages read well without any of it. Texts only ever become text
// nodes: nothing from a record is parsed as HTML.
(function () {
  function make(tag, text, name) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function key(cell) {
    const exact = cell.querySelector("[data-value]") || cell;
    const text = exact.dataset && exact.dataset.value ? exact.dataset.value : cell.textContent.trim();
    const number = parseFloat(text.replace(/,/g, ""));
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  function sort(table, place, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = Array.from(body.rows).filter((row) => !row.classList.contains("group"));
      rows.sort((a, b) => (down ? -1 : 1) * compare(key(a.cells[place]), key(b.cells[place])));
      for (const row of rows) body.append(row);
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach((head, place) => {
      const button = make("button", head.textContent);
      button.type = "button";
      button.addEventListener("click", () => sort(table, place, head));
      head.dataset.name = head.textContent; // for print, where a button is not repeated on every page
      head.textContent = "";
      head.append(button);
    });
  }

  for (const button of document.querySelectorAll(".copy-button")) {
    const area = button.parentElement.nextElementSibling;
    const label = button.textContent;
    button.addEventListener("click", () => {
      area.focus();
      area.select();
      let done = false;
      try { done = document.execCommand("copy"); } catch (error) { done = false; }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }

  // A list of items: [key, about, given, truth, score, margin, right, image, more, candidates].
  const PAGE = 50;
  const ORDERS = {
    "as in the run": null,
    "worst first": (a, b) => (a[4] ?? 9) - (b[4] ?? 9),
    "best first": (a, b) => (b[4] ?? -9) - (a[4] ?? -9),
    "most undecided first": (a, b) => (a[5] ?? 1e9) - (b[5] ?? 1e9),
  };
  const FILTERS = { "all": () => true, "right": (row) => row[6] === true, "wrong": (row) => row[6] === false };

  function picture(address, alt) {
    const image = make("img", undefined, "thumb");
    image.loading = "lazy";
    image.width = 96;
    image.height = 96;
    image.src = address;
    image.alt = alt;
    return image;
  }

  function choice(label, options, changed) {
    const outer = make("label", label);
    const select = make("select");
    for (const name of options) select.append(make("option", name));
    select.addEventListener("change", changed);
    outer.append(select);
    return [outer, select];
  }

  function browse(place, about, rows) {
    const images = about.images, words = about.words;
    const texts = rows.map((row) => row.slice(0, 4).concat(row[8], row[9].map((one) => one[0])).join(" ").toLowerCase());
    const every = rows.map((_, number) => number);
    let page = 0, kept = every;
    place.textContent = "";
    const form = make("form");
    const search = make("label", "Search");
    const input = make("input");
    input.type = "search";
    search.append(input);
    const refresh = () => { page = 0; select(); };
    const [show, shown] = choice("Show", Object.keys(FILTERS), refresh);
    const [by, order] = choice("Order", Object.keys(ORDERS), refresh);
    form.append(search);
    if (rows.some((row) => row[6] !== null)) form.append(show);
    form.append(by);
    form.addEventListener("submit", (event) => { event.preventDefault(); });
    const status = make("p", "", "small");
    status.setAttribute("role", "status");
    const scroll = make("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Items");
    const table = make("table");
    const head = make("tr");
    for (const name of ["item", words[0] || "picture", words[1], words[2], words[3] || "verdict"]) {
      if (!name) continue;
      const cell = make("th", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = make("tbody");
    const top = make("thead");
    top.append(head);
    const caption = make("caption");
    caption.append(make("span", "Items of the run"));
    table.append(caption, top, body);
    scroll.append(table);
    const pager = make("div", undefined, "pager");
    const before = make("button", "Previous"), after = make("button", "Next");
    before.type = after.type = "button";
    before.addEventListener("click", () => { page -= 1; draw(); });
    after.addEventListener("click", () => { page += 1; draw(); });
    pager.append(before, after);
    place.append(form, status, scroll, pager);
    let waiting = 0;
    input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 120); });

    function select() {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = FILTERS[shown.value], sorted = ORDERS[order.value];
      kept = every.filter((n) => fits(rows[n]) && wanted.every((word) => texts[n].includes(word)));
      if (sorted) kept = kept.slice().sort((a, b) => sorted(rows[a], rows[b]) || a - b);
      draw();
    }

    function line(row) {
      const [name, about, given, truth, score, , right, image, more, candidates] = row;
      const made = make("tr");
      const first = make("th", name);
      first.scope = "row";
      const second = make("td");
      if (image !== null && images[image]) second.append(picture(images[image], `picture of item ${name}`), make("br"));
      second.append(about);
      for (const text of more) second.append(make("div", text, "small"));
      if (candidates.length) {
        const list = make("ol", undefined, candidates[0][3] === null ? "candidates" : "candidates pictures");
        for (const [text, score, own, other] of candidates) {
          const item = make("li", undefined, own ? "true" : "");
          if (other !== null && images[other]) item.append(picture(images[other], text)); else item.append(text + " ");
          item.append(score);
          if (own) item.append(" ", make("strong", "true"));
          list.append(item);
        }
        second.append(list);
      }
      const verdict = right === null ? "" : right ? "right" : "wrong";
      const last = make("td", score === null || !words[3] ? "" : String(Math.round(score * 1000) / 1000));
      if (verdict) last.append(" ", make("strong", verdict));
      made.append(first, second, make("td", given));
      if (words[2]) made.append(make("td", truth));
      made.append(last);
      return made;
    }

    function draw() {
      const pages = Math.max(1, Math.ceil(kept.length / PAGE));
      page = Math.min(Math.max(0, page), pages - 1);
      const here = kept.slice(page * PAGE, (page + 1) * PAGE);
      body.replaceChildren(...here.map((n) => line(rows[n])));
      before.disabled = page === 0;
      after.disabled = page >= pages - 1;
      status.textContent = `${kept.length.toLocaleString("en")} of ${every.length.toLocaleString("en")} items` +
        `, page ${page + 1} of ${pages}`;
    }
    select();
  }

  window.unimo2Rows = function (name, about, rows) {
    for (const place of document.querySelectorAll(".browser")) {
      if (place.dataset.rows === name) browse(place, about, rows);
    }
  };
})();
