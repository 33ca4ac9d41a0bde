// Bytes and their spellings in text. Every spelling is strict: one text for one value.

export const utf8 = (text) => new TextEncoder().encode(text);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const same = (a, b) => a.length === b.length && a.every((byte, n) => byte === b[n]);

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** The bytes of an even number of lower-case hex digits; the caller has checked the spelling. */
export const unhex = (text) =>
  Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16));

export const toBig = (bytes) => (bytes.length === 0 ? 0n : BigInt(`0x${hex(bytes)}`));

export const fromBig = (value, size) => unhex(value.toString(16).padStart(2 * size, "0"));

export const base64Of = (bytes) =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

/** The bytes of padded base64 whose spare bits are zero, else null. */
export function base64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    return null;
  }
  return base64Of(bytes) === text ? bytes : null;
}

/** The bytes of unpadded base64url whose spare bits are zero, else null. */
export function base64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const plain = text.replaceAll("-", "+").replaceAll("_", "/");
  return base64(plain + "=".repeat((4 - (plain.length % 4)) % 4));
}
