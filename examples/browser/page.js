// The page: an image is chosen, labeled, and shown with its labels over it.

import { color, readPixels, segment } from "./segment.js";

const [chooser, opacity, canvas, message, legend] = ["chooser", "opacity", "canvas", "message", "legend"].map((id) =>
  document.getElementById(id),
);
let shown = null;

chooser.addEventListener("change", async () => {
  if (!chooser.files.length) return;
  document.body.dataset.state = "busy";
  message.textContent = "The model runs ...";
  try {
    const { rgb, height, width } = await readPixels(chooser.files[0]);
    const started = performance.now();
    const labels = await segment(rgb, height, width);
    message.textContent = `${width} x ${height} pixels in ${((performance.now() - started) / 1000).toFixed(1)} s`;
    shown = { rgb, height, width, labels };
    draw();
    describe();
    document.body.dataset.state = "done";
  } catch (error) {
    message.textContent = `It didn't work: ${error.message ?? error}`;
    document.body.dataset.state = "failed";
  }
});

opacity.addEventListener("input", () => shown && draw());

function draw() {
  const { rgb, height, width, labels } = shown;
  const share = opacity.value / 100;
  const colors = Array.from({ length: 256 }, (_, label) => color(label));
  const pixels = new ImageData(width, height);
  for (let i = 0; i < labels.length; i++) {
    for (let channel = 0; channel < 3; channel++) {
      pixels.data[4 * i + channel] = (1 - share) * rgb[3 * i + channel] + share * colors[labels[i]][channel];
    }
    pixels.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function describe() {
  const counts = new Uint32Array(256);
  for (const label of shown.labels) counts[label]++;
  const found = [...counts.entries()].filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  legend.replaceChildren(
    ...found.map(([label, count]) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.style.background = `rgb(${color(label)})`;
      item.append(swatch, `class ${label}: ${((100 * count) / shown.labels.length).toFixed(1)} %`);
      return item;
    }),
  );
}
