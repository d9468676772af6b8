// The page: takes an image by drop, paste or choice, sends it to the endpoint and draws the mask over it.
//
// document.body.dataset.state is one of
//   empty     nothing has come yet
//   running   the image is shown, the endpoint works
//   done      the mask is over it, the legend beside it
//   stopped   by an error or by hand: #trouble says what and how to fix it

const model = JSON.parse(document.getElementById("model").textContent);
const element = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));

const LARGEST = 2048; // sides of what is shown; larger images are shown reduced, and counted to the pixel
const SMALL = 256; // images of fewer pixels a side are shown with visible pixels
const VEIL = [236, 237, 240, 200]; // red, green, blue, alpha over all but the class that stands alone: the palette is dark

let run = null; // of the image that is shown: {file, controller, bitmap, mask}
let hovered = null; // the label that pointer or focus are on in the legend
let pinned = null; // the label that was clicked there

// ---------------------------------------------------------------- an image's way

async function take(file) {
  run?.controller.abort(); // the endpoint stops working on it, too
  run?.bitmap?.close();
  const own = (run = { file, controller: new AbortController(), bitmap: null, mask: null });
  const { signal } = own.controller;
  const preview = decoded(file).then((bitmap) => {
    if (signal.aborted) return bitmap?.close();
    own.bitmap = bitmap;
    if (bitmap) compose();
  });
  begin(file);
  const clock = stopwatch(element.elapsed);
  try {
    const kind = await sniffed(file);
    const body = kind ? file : await reencoded(file);
    if (!kind) note(`Sent as PNG (${megabytes(body.size)}), since the endpoint takes JPEG and PNG.`);
    const reply = await invoke(body, kind ?? "image/png", model.max_payload_mb, signal, busy);
    const seconds = clock.seconds();
    const mask = await readMask(reply, LARGEST, signal).catch((error) => {
      throw new Trouble(`The reply can't be shown: ${error.message}.`);
    });
    await preview;
    if (signal.aborted) return;
    own.mask = mask;
    finish(own, reply, seconds);
  } catch (error) {
    if (!signal.aborted) stop(explained(error));
  } finally {
    clock.stop();
  }
}

// The image, upright and reduced to what is shown; null where this browser can't decode it. The decoding doesn't hold
// up the page.
async function decoded(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    // the size, for which browsers read the header alone
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
    const { width, height } = fitted(image.naturalWidth, image.naturalHeight, LARGEST);
    const size = { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" };
    return await createImageBitmap(file, { imageOrientation: "from-image", ...size });
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function begin(file) {
  hovered = pinned = null;
  element.file.textContent = file.name;
  element.measures.textContent = "";
  note("");
  busy(0);
  document.body.classList.add("bare");
  element.canvas.width = element.canvas.height = 1;
  element.under.hidden = true;
  element.legend.replaceChildren();
  enter("running");
  say(`Segmenting ${file.name}`);
}

// seconds: until the endpoint, which has no room, is asked again; 0 once it is.
function busy(seconds) {
  const text = seconds ? `The endpoint is busy. Next try in ${seconds} s` : "Segmenting";
  if (seconds && element.doing.textContent === "Segmenting") say(text);
  element.doing.textContent = text;
}

function finish(own, reply, seconds) {
  const { width, height } = own.mask;
  element.measures.textContent = `${count(width)} × ${count(height)} · ${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  URL.revokeObjectURL(element.download.href);
  element.download.href = URL.createObjectURL(new Blob([reply], { type: "image/png" }));
  element.download.download = `${own.file.name.replace(/\.[^.]*$/, "") || "image"}-mask.png`;
  compose();
  const shares = list(own.mask).map(({ label, share }) => `${name(label)} ${percent(share)}`);
  enter("done");
  element.canvas.setAttribute("aria-label", `${own.file.name} under its mask`);
  say(`Done in ${seconds.toFixed(1)} seconds: ${shares.join(", ")}`);
}

function stop({ message, remedy, again }) {
  element.message.textContent = message;
  element.remedy.textContent = remedy;
  element.retry.hidden = !again;
  element.trouble.classList.toggle("calm", run.controller.signal.aborted);
  enter("stopped");
}

function cancel() {
  run.controller.abort();
  stop(new Trouble("Cancelled.", "", true));
}

function enter(state) {
  const had = document.activeElement;
  document.body.dataset.state = state;
  // the focus isn't lost with what it was on
  if (had !== document.body && !had.getClientRects().length) element[state === "stopped" ? "retry" : "another"].focus();
}

function stopwatch(display) {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  const show = () => (display.textContent = `${seconds().toFixed(1)} s`);
  const timer = setInterval(show, 100);
  show();
  return { seconds, stop: () => clearInterval(timer) };
}

// ---------------------------------------------------------------- the image

// Draws the image and, once it is there, the mask.
function compose() {
  const { bitmap, mask } = run;
  const { width, height } = mask?.display ?? bitmap;
  const { canvas, frame } = element;
  document.body.classList.remove("bare");
  frame.classList.toggle("small", Math.max(width, height) < SMALL);
  element.stage.style.setProperty("--ratio", width / height);
  [canvas.width, canvas.height] = [width, height]; // clears it
  const pen = canvas.getContext("2d");
  if (bitmap) pen.drawImage(bitmap, 0, 0, width, height);
  if (mask) pen.drawImage(painted(mask.display), 0, 0);
}

const paper = document.createElement("canvas");

function painted({ width, height, labels }) {
  [paper.width, paper.height] = [width, height];
  const inks = Array.from({ length: 256 }, (_, label) => ink(label)).flat();
  const colours = new Uint32Array(new Uint8Array(inks).buffer); // four bytes at a time
  const pixels = new Uint32Array(labels.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[labels[i]];
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
  paper.getContext("2d").putImageData(image, 0, 0);
  return paper;
}

// Red, green, blue, alpha of a label's pixels. A class that was chosen in the legend stands alone.
function ink(label) {
  const alone = hovered ?? pinned;
  return alone === null || alone === label ? [...colour(label), Math.round(element.opacity.value * 2.55)] : VEIL;
}

function recompose() {
  cancelAnimationFrame(recompose.frame);
  recompose.frame = requestAnimationFrame(() => run?.mask && compose());
}

// Says which class is under the pointer.
function point({ offsetX, offsetY }) {
  if (!run?.mask) return;
  const { width, height, labels } = run.mask.display;
  const { clientWidth, clientHeight } = element.canvas;
  const x = Math.min(width - 1, Math.max(0, Math.floor((offsetX / clientWidth) * width)));
  const y = Math.min(height - 1, Math.max(0, Math.floor((offsetY / clientHeight) * height)));
  element.under.replaceChildren(...tag(labels[y * width + x]));
  element.under.hidden = false;
}

// ---------------------------------------------------------------- the legend

// Fills the legend with the classes that occur, the largest first, and returns them.
function list({ counts, width, height }) {
  const all = [...counts].map((pixels, label) => ({ label, pixels, share: pixels / (width * height) }));
  const found = all.filter(({ pixels }) => pixels).sort((one, other) => other.pixels - one.pixels);
  element.classes.textContent = found.length === 1 ? "1 class" : `${found.length} classes`;
  element.legend.replaceChildren(...found.map(entry));
  return found;
}

function entry({ label, pixels, share }) {
  const fill = node("span", "fill");
  fill.style.width = `${share * 100}%`;
  fill.style.backgroundColor = css(label);
  const figures = [node("span", "pixels", `${count(pixels)} px`), node("span", "share", percent(share))];
  const button = node("button", "entry", ...tag(label), ...figures, node("span", "bar", fill));
  button.type = "button";
  button.dataset.label = label;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("pointerenter", ({ pointerType }) => pointerType !== "touch" && hover(label));
  button.addEventListener("pointerleave", () => hover(null));
  button.addEventListener("focus", () => button.matches(":focus-visible") && hover(label));
  button.addEventListener("blur", () => hover(null));
  button.addEventListener("click", () => pin(pinned === label ? null : label));
  return node("li", "", button);
}

function hover(label) {
  hovered = label;
  recompose();
}

function pin(label) {
  pinned = label;
  for (const button of element.legend.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.label === String(label)));
  }
  recompose();
}

// ---------------------------------------------------------------- words and nodes

function node(kind, className, ...content) {
  const made = document.createElement(kind);
  made.className = className;
  made.append(...content); // strings become text, never markup
  return made;
}

function tag(label) {
  const swatch = node("span", "swatch");
  swatch.style.backgroundColor = css(label);
  return [swatch, node("bdi", "name", name(label))];
}

const colour = (label) => model.palette[label] ?? [128, 128, 128];
const css = (label) => `rgb(${colour(label).join(" ")})`;
const name = (label) => String(model.class_names[label] ?? label);
const count = (number) => number.toLocaleString("en");
const percent = (share) => (share < 0.0001 ? "< 0.01 %" : `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`);

function say(text) {
  element.status.textContent = text;
}

function note(text) {
  element.note.textContent = text;
  element.note.hidden = !text;
}

// What the model is, before an image has come.
function introduce() {
  const { name: title, algorithm, backbone, num_classes: classes, choice, max_payload_mb: limit } = model;
  if (title) document.title = `${title} · ${document.title}`;
  const facts = [title, algorithm, backbone, `${classes} classes`, model.precision, model.runtime];
  element.facts.textContent = facts.filter(Boolean).join(" · ");
  element.facts.title = choice ?? "";
  element.limits.textContent = `JPEG or PNG${limit ? ` up to ${limit} MB` : ""}; other formats are converted here`;
  element.classes.textContent = "The model tells apart";
  const labels = Array.from({ length: classes }, (_, label) => label);
  element.legend.replaceChildren(...labels.map((label) => node("li", "known", ...tag(label))));
  const address = new URL("invocations", location.href).href;
  element.curl.textContent = `curl -H 'Content-Type: image/jpeg' --data-binary @image.jpg -o mask.png \\\n     ${address}`;
  showOpacity();
}

function showOpacity() {
  element.percent.textContent = `${element.opacity.value} %`;
}

// ---------------------------------------------------------------- what people do

function takeFirst(files) {
  if (!files.length) return;
  take(files[0]);
  if (files.length > 1) note(`One image at a time: this is the first of ${files.length}.`);
}

for (const button of document.querySelectorAll(".choose")) {
  button.addEventListener("click", () => element.chooser.click());
}
element.chooser.addEventListener("change", () => {
  takeFirst([...element.chooser.files]);
  element.chooser.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", ({ clipboardData }) => takeFirst([...clipboardData.files]));
document.addEventListener("dragenter", () => document.body.classList.add("dragging"));
document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dragging"));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  takeFirst([...event.dataTransfer.files]);
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  if (document.body.dataset.state === "running") return cancel();
  hovered = null;
  pin(null);
});
element.opacity.addEventListener("input", () => {
  showOpacity();
  recompose();
});
element.cancel.addEventListener("click", cancel);
element.retry.addEventListener("click", () => take(run.file));
element.canvas.addEventListener("pointermove", point);
element.canvas.addEventListener("pointerleave", () => (element.under.hidden = true));

introduce();
