// The client's QR codes under Node: texts in, one JSON string a line; rows of 0 and 1 out.

import { readFileSync } from "node:fs";
import { modules } from "../../miniapp_api/site/qr.mjs";

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const grid = modules(JSON.parse(line));
  const shown = grid?.map((row) => row.map((dark) => (dark ? "1" : "0")).join("")) ?? null;
  process.stdout.write(`${JSON.stringify(shown)}\n`);
}
