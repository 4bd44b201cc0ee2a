#!/usr/bin/env node
// `npm init hatago-plugin my-plugin`: a folder with a plugin that builds, tests and lints.
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const USAGE = "use: npm init hatago-plugin <folder> [--name <package name>]";
const PACKAGE_NAME = /^(?:@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*$/;

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

function main(words) {
  if (words.includes("--help")) {
    console.log(USAGE);
    return;
  }
  const at = words.indexOf("--name");
  const given = at === -1 ? undefined : words[at + 1];
  const [folder, ...more] = at === -1 ? words : words.toSpliced(at, 2);
  if (folder === undefined || folder.startsWith("-") || more.length > 0) fail(USAGE, 2);
  const target = resolve(folder);
  const name = given ?? basename(target);
  if (!PACKAGE_NAME.test(name)) {
    fail(
      `\`${name}\` is not a name of a package: use lower-case letters, digits, \`-\` and \`_\``,
      2,
    );
  }
  if (existsSync(target) && readdirSync(target).length > 0) {
    fail(`the folder \`${folder}\` is there already and is not empty`, 1);
  }

  cpSync(here("template"), target, { recursive: true });
  // npm leaves a file of that name out of packages.
  renameSync(join(target, "_gitignore"), join(target, ".gitignore"));
  for (const file of ["package.json", "hatago.plugin.json", "README.md"]) {
    const path = join(target, file);
    writeFileSync(path, readFileSync(path, "utf8").replaceAll("plugin-name", name));
  }
  linkSiblings(join(target, "package.json"));
  console.log(`made \`${name}\` in ${folder}

  cd ${folder}
  npm install
  npm run dev`);
}

/** Run from a checkout, the packages beside this one are meant, published or not. */
function linkSiblings(path) {
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  for (const [name, folder] of [
    ["@hatago/core", "../hatago-core"],
    ["@hatago/test-utils", "../hatago-test-utils"],
  ]) {
    const sibling = here(folder);
    if (!existsSync(join(sibling, "package.json"))) continue;
    manifest.devDependencies[name] = `file:${relative(join(path, ".."), sibling)}`;
  }
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

function fail(message, code) {
  console.error(message);
  process.exit(code);
}

main(process.argv.slice(2));
