
"use strict";

// Copying: the button is shown only where it can work.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// Sorting: heads of columns become buttons.
const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
};
const compare = (a, b, sign) => {  // what has no figure comes last, either way
  if (typeof a === "string") return sign * a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const upward = head.getAttribute("aria-sort") !== "ascending";
      const sign = upward ? 1 : -1;
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(key(a, column), key(b, column), sign));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", upward ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}

// Playing: one at a time, with a line that moves over the spectrogram.
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  const card = player.closest(".card");
  const move = () => {
    card.style.setProperty("--played", player.currentTime / (player.duration || 1));
    if (!player.paused) requestAnimationFrame(move);
  };
  player.addEventListener("play", () => {
    players.filter((other) => other !== player).forEach((other) => other.pause());
    card.classList.add("playing");
    move();
  });
  player.addEventListener("seeked", move);
}
