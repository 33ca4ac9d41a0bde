/** A rule of the formats is broken; the message tells a person which. */
export class Breach extends Error {}

export function must(held, reason) {
  if (!held) throw new Breach(reason);
}
