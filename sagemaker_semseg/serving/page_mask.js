// The mask PNG as the endpoint sent it, read as numbers: labels for the display and exact counts of pixels.
//
// The palette index is the label, so the file is inflated and unfiltered here (PNG, third edition, sections 9 and 10)
// instead of drawn on a canvas and read back: a canvas gives colours, and browsers may change those on the way
// (colour management, noise against fingerprinting). Rows are read as they are inflated and only their samples for the
// display are kept, so a mask of 12 000 x 12 000 pixels needs little memory and never holds up the page.

const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const SLICE = 8; // milliseconds that the page may stand still: half a frame

// bytes: Uint8Array. largest: of the display's sides, in pixels. Returns the mask's width and height, counts (256 of
// them), and the display: {width, height, labels}, labels sampled at the centres of its pixels.
async function readMask(bytes, largest, signal) {
  const { width, height, depth, stream } = openMask(bytes);
  const display = fitted(width, height, largest);
  display.labels = new Uint8Array(display.width * display.height);
  const columns = Uint32Array.from({ length: display.width }, (_, x) => Math.floor(((x + 0.5) * width) / display.width));
  const counts = new Uint32Array(256);
  let y = 0;
  let target = 0; // the display's next row
  await eachRow(stream, Math.ceil((width * depth) / 8), height, signal, (packed) => {
    const row = depth === 8 ? packed : unpacked(packed, width, depth);
    for (let x = 0; x < width; x++) counts[row[x]]++;
    while (target < display.height && Math.floor(((target + 0.5) * height) / display.height) === y) {
      const start = target * display.width;
      for (let x = 0; x < display.width; x++) display.labels[start + x] = row[columns[x]];
      target++;
    }
    y++;
  });
  return { width, height, counts, display };
}

function fitted(width, height, largest) {
  const scale = Math.min(1, largest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

function openMask(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || PNG_SIGNATURE.some((byte, i) => bytes[i] !== byte)) throw new Error("it is not a PNG");
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, colour, , , interlaced] = bytes.subarray(24, 29);
  const oneChannel = (colour === 0 || colour === 3) && [1, 2, 4, 8].includes(depth);
  if (!oneChannel || interlaced || !width || !height) throw new Error("it is not a plain palette PNG");
  const data = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 8 + view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154 /* IDAT */) data.push(bytes.subarray(at + 8, end));
    at = end + 4;
  }
  return { width, height, depth, stream: inflated(data) };
}

// Piece by piece, as encoders cut them: a Blob's stream would hand over all at once, to be inflated at one go.
function inflated(pieces) {
  const source = new ReadableStream({
    pull(controller) {
      if (pieces.length) controller.enqueue(pieces.shift());
      else controller.close();
    },
  });
  return source.pipeThrough(new DecompressionStream("deflate"));
}

// Calls use(row) with each of the `height` rows of `size` bytes, in a buffer that the row after next overwrites.
async function eachRow(stream, size, height, signal, use) {
  const reader = stream.getReader();
  let [row, above] = [new Uint8Array(1 + size), new Uint8Array(1 + size)]; // first the kind of filter
  let [filled, rows, began] = [0, 0, performance.now()];
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        throw new Error("its data are damaged");
      });
      if (done) break;
      for (let at = 0; at < value.length; ) {
        const part = value.subarray(at, at + row.length - filled);
        row.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled < row.length) break;
        if (++rows > height) throw new Error("it has more rows than its header says");
        unfilter(row, above);
        use(row.subarray(1));
        [row, above, filled] = [above, row, 0];
        if (performance.now() - began < SLICE) continue;
        await pause();
        signal.throwIfAborted();
        began = performance.now();
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  if (rows !== height || filled) throw new Error("it is cut short");
}

// Lets the page do its own work first. Timers would crawl in a tab that isn't shown; messages don't.
function pause() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

// Undoes a row's filter in place. One byte is one pixel (or several), so the neighbour to the left is the byte before.
function unfilter(row, above) {
  const end = row.length;
  switch (row[0]) {
    case 0:
      return;
    case 1:
      for (let i = 2; i < end; i++) row[i] += row[i - 1];
      return;
    case 2:
      for (let i = 1; i < end; i++) row[i] += above[i];
      return;
    case 3:
      row[1] += above[1] >> 1;
      for (let i = 2; i < end; i++) row[i] += (row[i - 1] + above[i]) >> 1;
      return;
    case 4:
      row[1] += above[1];
      for (let i = 2; i < end; i++) row[i] += paeth(row[i - 1], above[i], above[i - 1]);
      return;
    default:
      throw new Error(`its rows have a filter ${row[0]}, which PNG doesn't know`);
  }
}

function paeth(left, up, corner) {
  const a = Math.abs(up - corner);
  const b = Math.abs(left - corner);
  const c = Math.abs(left + up - 2 * corner);
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function unpacked(packed, width, depth) {
  const row = new Uint8Array(width);
  const mask = (1 << depth) - 1;
  for (let x = 0; x < width; x++) {
    const bit = x * depth;
    row[x] = (packed[bit >> 3] >> (8 - depth - (bit & 7))) & mask;
  }
  return row;
}
