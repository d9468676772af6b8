// Labels the pixels of an image with a model that runs in this browser: onnxruntime-web, in WebAssembly.

import * as ort from "onnxruntime-web/wasm";

ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).href;

const session = ort.InferenceSession.create(new URL("model.onnx", import.meta.url).href);
session.catch(() => {}); // segment() raises it

// rgb: Uint8Array of height * width * 3 bytes. Returns the label of each pixel, row by row.
export async function segment(rgb, height, width) {
  const image = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
  const { logits } = await (await session).run({ image }, ["logits"]);
  const [classes, pixels] = [logits.dims[1], height * width];
  const labels = new Uint8Array(pixels);
  for (let label = 1; label < classes; label++) {
    for (let i = 0; i < pixels; i++) {
      if (logits.data[label * pixels + i] > logits.data[labels[i] * pixels + i]) labels[i] = label;
    }
  }
  return labels;
}

// The pixels of a file as (height, width, 3) bytes, turned as its EXIF data say, without changes of color.
export async function readPixels(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return { rgb, height, width };
}

// Pascal VOC's color of a label, as the masks of sagemaker-semseg have it.
export function color(label) {
  const channels = [0, 0, 0];
  for (let bit = 0; bit < 3; bit++) {
    for (let channel = 0; channel < 3; channel++) {
      channels[channel] |= ((label >> (3 * bit + channel)) & 1) << (7 - bit);
    }
  }
  return channels;
}
