// Measures `post` in whole transactions (forge --isolate) and writes gas.json; with --check compares instead.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { forge } from "./forge.mjs";
import { compilerVersion, root } from "./compiler.mjs";

const counts = [1, 10, 100, 700, 1000];
// Unavoidable per account: the storage access (EIP-2929/2200), 24 non-zero calldata bytes, a share of 21,000.
const storage = { new: 22_100, returning: 5_000 };
const calldata = 24 * 16;

/** At 700 accounts a batch costs at most this much of its floor, whatever is added to the contract. */
export const floorMax = { issue_new_to_floor: 1.025, issue_returning_to_floor: 1.09 };

export function measure() {
  const folder = path.join(root, "out/gas");
  rmSync(folder, { recursive: true, force: true });
  const run = forge(["test", "--isolate", "--match-contract", "GasTest", "--silent"], { stdio: ["ignore", "ignore", "inherit"] });
  if (run.status !== 0) throw new Error("the gas tests failed: node scripts/forge.mjs test --isolate --match-contract GasTest");
  const gas = JSON.parse(readFileSync(path.join(folder, "GasTest.json"), "utf8"));
  const perAccount = (name, count) => Number(gas[`${name} ${count}`]) / count;
  const row = (count) => {
    const floor = (kind) => storage[kind] + calldata + 21_000 / count;
    const issued = { new: perAccount("issue new", count), returning: perAccount("issue returning", count) };
    const round = (value, digits) => Number(value.toFixed(digits));
    return {
      accounts: count,
      issue_new_per_account: round(issued.new, 0),
      issue_new_to_floor: round(issued.new / floor("new"), 4),
      issue_returning_per_account: round(issued.returning, 0),
      issue_returning_to_floor: round(issued.returning / floor("returning"), 4),
      redeem_per_account: round(perAccount("redeem", count), 0),
      retire_per_account: round(perAccount("retire", count), 0),
      issue_new_total: Number(gas[`issue new ${count}`]),
      replay_total: Number(gas[`replay ${count}`]),
    };
  };
  return {
    compiler: compilerVersion(),
    evm: "cancun, whole transactions through the proxy, with roles, pause, budget and rule window",
    floor: "22,100 (new) or 5,000 (returning) + 384 + 21,000/accounts",
    post: counts.map(row),
    anchor: { first: Number(gas["anchor first"]), next: Number(gas["anchor next"]) },
    enact: Number(gas.enact),
    settle: [1, 10, 100, 350].map((parties) => ({ parties, per_party: Math.round(Number(gas[`settle ${parties}`]) / parties), total: Number(gas[`settle ${parties}`]) })),
    dispute: { open: Number(gas["open dispute"]), resolve: Number(gas["resolve dispute"]) },
    register: [1, 200].map((spaces) => ({ spaces, per_space: Math.round(Number(gas[`register ${spaces}`]) / spaces), total: Number(gas[`register ${spaces}`]) })),
    act_on_right: { suspend: Number(gas.suspend), hand_over: Number(gas["hand over"]) },
  };
}

if (process.argv[1] === path.join(root, "scripts/gas.mjs")) {
  const result = measure();
  writeFileSync(path.join(root, "gas.json"), `${JSON.stringify(result, null, 1)}\n`);
  console.table(result.post);
  console.table(result.settle);
  console.table(result.register);
  console.log(`anchor ${result.anchor.first} first, ${result.anchor.next} next; enact ${result.enact}`);
}
