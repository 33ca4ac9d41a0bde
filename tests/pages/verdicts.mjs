// The verify page's own modules under Node: receipts in base64, one a line, on standard input; one
// answer of formats.md §13 a line. `node verdicts.mjs TRUST [RPC]`

import { readFileSync } from "node:fs";
import { Node } from "../../backend/public_api/site/verify/check/node.mjs";
import { verify } from "../../backend/public_api/site/verify/check/verify.mjs";

const [trustFile, rpc] = process.argv.slice(2);
const trust = new Uint8Array(readFileSync(trustFile));
const node = rpc ? new Node(rpc) : null;
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { ok, steps } = await verify(new Uint8Array(Buffer.from(line, "base64")), trust, node);
  process.stdout.write(`${JSON.stringify({ ok, steps })}\n`);
}
