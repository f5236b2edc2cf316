"use strict";
// Everything can be read without this: it only hides what was not asked for, and sorts one table.
(() => {
  const rows = [...document.querySelectorAll(".matrix tbody tr")];
  if (rows.length > 1) {
    const gpus = [...document.querySelectorAll(".matrix thead th")].slice(1).map((cell) => cell.textContent.trim());
    const form = document.createElement("form");
    form.className = "filter";
    form.setAttribute("role", "search");
    const add = (text, control) => {
      const label = document.createElement("label");
      label.append(text, control);
      form.append(label);
      return control;
    };
    const words = add("Show wheels named", Object.assign(document.createElement("input"), { type: "search" }));
    const gpu = add("that run on", document.createElement("select"));
    gpu.append(new Option("any GPU, or none", ""), ...gpus.map((name, at) => new Option(name, String(at))));
    const told = document.createElement("output");
    form.append(told);
    document.getElementById("gpus").after(form);
    const fits = (row) => {
      const named = row.cells[0].textContent.toLowerCase().includes(words.value.trim().toLowerCase());
      const cell = row.cells[Number(gpu.value) + 1];
      return named && (gpu.value === "" || (cell && /native|ptx/.test(cell.className)));
    };
    const apply = () => {
      const kept = new Set(rows.filter(fits).map((row) => row.dataset.wheel));
      for (const one of document.querySelectorAll("[data-wheel]")) one.hidden = !kept.has(one.dataset.wheel);
      told.textContent = `${kept.size} of ${rows.length} wheels shown`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  const table = document.querySelector("table.costs");
  for (const head of table ? table.tHead.rows[0].cells : []) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent.trim();
      const compare = (one, other) => {
        const [left, right] = [key(one), key(other)];
        const apart = Number(left) - Number(right);
        return Number.isNaN(apart) ? left.localeCompare(right, "en", { numeric: true }) : apart;
      };
      const sorted = [...table.tBodies[0].rows].sort((one, other) => (up ? compare(one, other) : compare(other, one)));
      table.tBodies[0].append(...sorted);
    });
  }
  // A link to a wheel leads to one that the filter hides only if somebody wrote the address by hand.
  const open = () => {
    const aim = location.hash && document.getElementById(location.hash.slice(1));
    if (aim && aim.closest("[hidden]")) aim.closest("[hidden]").hidden = false;
  };
  addEventListener("hashchange", open);
})();
