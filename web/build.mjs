// Writes the one built file of the pages. Its last line names what it was made of, so that a test needs no Node to see it is old.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const made = createHash("sha256");
for (const file of ["editor.js", "package-lock.json"]) made.update(readFileSync(file, "utf-8"));
await build({
  entryPoints: ["editor.js"],
  outfile: process.argv[2] ?? "../orchestrator/server/static/codemirror.js",
  bundle: true,
  format: "esm",
  minify: true,
  legalComments: "eof",
  target: "es2022",
  footer: { js: `/* made of web/ ${made.digest("hex")} */` },
});
