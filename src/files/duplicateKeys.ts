/**
 * Duplicate keys in JSON: `JSON.parse` keeps the last one silently, so two readers of one file could see two contents.
 */

/**
 * The first key that occurs twice in one object, or null.
 *
 * @param json - text that `JSON.parse` accepts
 */
export function findDuplicateKey(json: string): string | null {
  const open: (Set<string> | null)[] = []; // the keys of every object around, null for an array
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === '{') open.push(new Set());
    else if (c === '[') open.push(null);
    else if (c === '}' || c === ']') open.pop();
    else if (c === '"') {
      const start = i;
      i = closingQuote(json, start);
      const keys = open[open.length - 1];
      if (!keys || !isKey(json, i)) continue;
      const key = JSON.parse(json.slice(start, i + 1)) as string; // "\u0061" and "a" are one key
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

function closingQuote(json: string, start: number): number {
  let i = start + 1;
  while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
  return i;
}

/** Whether a colon follows the string that ends at `end`. */
function isKey(json: string, end: number): boolean {
  let i = end + 1;
  while (' \t\n\r'.includes(json[i])) i++;
  return json[i] === ':';
}
