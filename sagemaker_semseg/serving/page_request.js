// Sends a file to the endpoint as JPEG or PNG, and returns the bytes of its mask.

const ATTEMPTS = 10; // while the endpoint is busy
const BUSY_SECONDS = 2; // where it doesn't say how long
const MEGABYTE = 2 ** 20;

// What went wrong and how to fix it, as shown to people. again: whether the same image may work later.
class Trouble extends Error {
  constructor(message, remedy = "", again = false) {
    super(message);
    Object.assign(this, { remedy, again });
  }
}

// The media type of a file that the endpoint takes as it is, by its first bytes; null for others.
async function sniffed(file) {
  const head = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  if (head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff) return "image/jpeg";
  return PNG_SIGNATURE.every((byte, i) => head[i] === byte) ? "image/png" : null;
}

// A file of any other format as PNG, in full size and upright.
async function reencoded(file) {
  const remedy = "Save it as JPEG or PNG and try that.";
  const full = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
    throw new Trouble("This browser can't open the file as an image.", remedy);
  });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [full.width, full.height];
  canvas.getContext("2d")?.drawImage(full, 0, 0);
  full.close();
  const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!png) throw new Trouble("The image is too large for this browser to convert.", remedy);
  return png;
}

// The bytes of the mask. limit: in MB, 0 for none. busy(seconds) is called each second until the endpoint is asked again.
async function invoke(body, type, limit, signal, busy) {
  if (limit && body.size > limit * MEGABYTE) {
    const message = `The image has ${megabytes(body.size)}; this endpoint takes up to ${limit} MB.`;
    throw new Trouble(message, "Make it smaller or save it as JPEG.");
  }
  const request = { method: "POST", body, signal, headers: { "Content-Type": type, Accept: "image/png" } };
  for (let attempt = 1; ; attempt++) {
    const reply = await fetch("invocations", request);
    if (reply.ok) return new Uint8Array(await reply.arrayBuffer());
    if (reply.status !== 503 || attempt === ATTEMPTS) throw await refused(reply);
    reply.body?.cancel();
    const seconds = Math.ceil(Number(reply.headers.get("Retry-After"))) || BUSY_SECONDS;
    for (let left = Math.min(seconds, 60); left > 0; left--) {
      busy(left);
      await second(signal);
    }
    busy(0);
  }
}

async function refused(reply) {
  const { error } = await reply.json().catch(() => ({}));
  const message = error?.message ?? `The endpoint answered ${reply.status} ${reply.statusText}.`;
  return new Trouble(String(message), String(error?.remedy ?? ""), reply.status >= 500);
}

function second(signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

function explained(error) {
  if (error instanceof Trouble) return error;
  if (!(error instanceof TypeError)) console.error(error); // a TypeError is how fetch says that no reply came
  return new Trouble("The endpoint didn't answer.", "See whether it is still running, then try again.", true);
}

const megabytes = (size) => `${(size / MEGABYTE).toFixed(1)} MB`;
