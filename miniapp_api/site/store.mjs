// One value kept on this device, the same for every tab at once. localStorage is not enough: a tab
// may still read what another one has just replaced, and a refresh token used twice ends the sign-in.

const [DATABASE, TABLE, KEY] = ["tanhui", "kept", "login"];

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

let opened = null;

function database() {
  opened ??= (() => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    return done(request);
  })();
  return opened;
}

const table = async (mode) => (await database()).transaction(TABLE, mode).objectStore(TABLE);

/** The value, null when nothing is kept. */
export const read = async () => (await done((await table("readonly")).get(KEY))) ?? null;

/** Keep a value in the place of the one before; null forgets it. */
export const replace = async (value) => done((await table("readwrite")).put(value, KEY));
