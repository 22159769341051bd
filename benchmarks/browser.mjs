// What docs/browser/index.html hears and decides in headless Chromium, recordings being its microphone.
//
//     npm install onnxruntime-web puppeteer-core
//     node benchmarks/browser.mjs EXPORTED OUTPUT.json recording.wav ...
//
// EXPORTED is a folder that `phonaut export RUN` wrote. OUTPUT.json holds, for each recording, the samples that the page
// heard, its scores and label: benchmarks/browser.py compares them with Python's.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { createRequire } from "node:module";

const require = createRequire(path.join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const ort = path.dirname(require.resolve("onnxruntime-web"));
const [exported, output, ...recordings] = process.argv.slice(2);
const page = path.join(import.meta.dirname, "..", "docs", "browser", "index.html");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const server = http.createServer((request, response) => {
  const name = new URL(request.url, "http://localhost").pathname;
  const file = name === "/" ? page : name.startsWith("/ort/") ? path.join(ort, name.slice(5)) : path.join(exported, name);
  if (!fs.existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream" });
  return fs.createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, "localhost", ready));

const results = [];
for (const recording of recordings) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
           `--use-file-for-fake-audio-capture=${path.resolve(recording)}`, "--autoplay-policy=no-user-gesture-required"],
  });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://localhost:${server.address().port}/`);
    await tab.waitForFunction("!document.getElementById('listen').disabled", { timeout: 60000 });
    const heard = await tab.evaluate("listen()");
    results.push({ recording, ...heard });
    console.log(path.basename(recording), heard.label, heard.probability.toFixed(3), `${heard.ms.toFixed(1)} ms`);
  } finally {
    await browser.close();
  }
}
fs.writeFileSync(output, JSON.stringify(results));
server.close();
