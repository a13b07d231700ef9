"use strict";
(() => {
  const data = document.getElementById("data");
  const table = document.getElementById("table");
  if (!data || !table) return;
  const rows = JSON.parse(data.textContent);
  const perPage = 100;
  const id = (name) => document.getElementById(name);
  const body = table.tBodies[0];
  const columns = [...table.tHead.rows[0].cells].map((cell) => ({ cell, key: cell.dataset.key, name: cell.textContent, number: cell.classList.contains("n") }));
  const number = new Intl.NumberFormat("en");
  let shown = rows, page = 0, sort = { key: "count", down: true };

  // What a row is searched by, made once.
  for (const r of rows) r.text = [r.principal, r.record, r.op, r.outcome, r.error, r.address, r.key_id].join(" ").toLowerCase();

  const text = (r, key) => {
    if (key === "outcome") return r.error ? r.outcome + ": " + r.error : r.outcome;
    if (key === "count") return (r.over ? "≤ " : "") + number.format(r.count);
    return r[key] || "";
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / perPage));
    page = Math.min(page, pages - 1);
    const made = shown.slice(page * perPage, (page + 1) * perPage).map((r) => {
      const tr = document.createElement("tr");
      columns.forEach((c, i) => {
        const cell = document.createElement(i === 0 ? "th" : "td");
        if (i === 0) cell.scope = "row"; else cell.dataset.label = c.name;
        if (c.number) cell.className = "n";
        else if (c.key === "first" || c.key === "last") cell.className = "time";
        else if (c.key === "outcome") cell.className = r.outcome;
        else if (c.key === "principal" || c.key === "record") cell.className = "text";
        else if (c.key === "key_id") cell.className = "text key-id";
        cell.textContent = text(r, c.key);
        tr.append(cell);
      });
      return tr;
    });
    body.replaceChildren(...made);
    id("found").textContent = number.format(shown.length) + (shown.length === rows.length ? " accesses" : " of " + number.format(rows.length) + " accesses");
    id("page").textContent = "Page " + number.format(page + 1) + " of " + number.format(pages);
    id("before").disabled = page === 0;
    id("next").disabled = page === pages - 1;
    id("pages").hidden = pages === 1;
    for (const c of columns) {
      if (c.key === sort.key) c.cell.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else c.cell.removeAttribute("aria-sort");
    }
  };

  const order = () => {
    const { key, down } = sort;
    const way = down ? -1 : 1;
    shown.sort((a, b) => way * (key === "count" ? a.count - b.count : text(a, key).localeCompare(text(b, key), "en", { numeric: true })));
  };

  const select = () => {
    const words = id("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const op = id("op").value, outcome = id("outcome").value;
    shown = rows.filter((r) => (!op || r.op === op) && (!outcome || r.outcome === outcome) && words.every((w) => r.text.includes(w)));
    page = 0;
    order();
    draw();
  };

  for (const c of columns) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = c.name;
    button.addEventListener("click", () => {
      sort = { key: c.key, down: sort.key === c.key ? !sort.down : c.number };
      order();
      page = 0;
      draw();
    });
    c.cell.replaceChildren(button);
  }
  const turn = (by) => { page += by; draw(); id("accesses").scrollIntoView(); };
  id("before").addEventListener("click", () => turn(-1));
  id("next").addEventListener("click", () => turn(1));
  id("tools").addEventListener("submit", (e) => e.preventDefault());
  id("search").addEventListener("input", select);
  id("op").addEventListener("change", select);
  id("outcome").addEventListener("change", select);
  id("tools").hidden = false;
  select();
})();
