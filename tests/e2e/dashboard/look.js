// Looks at the dashboard as a user does: arguments are its URL and its token. Ends with 1 when something is not as it should be.
"use strict";

const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const [url, token] = process.argv.slice(2);
const pictures = process.env.PICTURES;

async function open(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  // The browser itself says of an answer of 401 or 400 that it is one.
  page.on("console", (message) => message.type() === "error" && !/status of 40[01]/.test(message.text()) && wrong.push(`console: ${message.text()}`));
  // Without internet: whoever is not the proxy is not there.
  await context.route((asked) => asked.origin !== new URL(url).origin && asked.protocol !== "data:", (route) => {
    wrong.push(`asks ${route.request().url()}`);
    return route.abort();
  });
  await page.goto(url);
  if (token) {
    await page.getByLabel("Token of this proxy").waitFor();
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("This is not the token.").waitFor();
    await page.keyboard.type(token);
    await page.keyboard.press("Enter");
  }
  await page.getByRole("status").filter({ hasText: "serving, generation 1" }).waitFor();
  return { page, wrong };
}

async function look(browser) {
  const { page, wrong } = await open(browser, { colorScheme: "light", viewport: { width: 1280, height: 900 } });
  const route = page.locator("#routes-rows tr").filter({ hasText: "plain.test" }).filter({ hasText: "/*" });
  await route.waitFor();
  assert.match(await route.innerText(), /security-headers/);
  assert.match(await route.innerText(), /app/);
  if (!token) assert.match(await route.innerText(), /\b20\b/);
  const conditional = page.locator("#routes-rows li.when");
  assert.match(await conditional.textContent(), /headers \(for some requests\)/);
  assert.match(await page.locator("#plugins-rows").innerText(), /rate-limit[\s\S]*kv/);
  assert.match(await page.locator("#upstreams-rows").innerText(), /app[\s\S]*127\.0\.0\.1/);
  assert.match(await page.locator("#certificates-rows").innerText(), /localhost[\s\S]*in \d+ days?/);
  // Charts need two looks.
  await page.locator("#rate").filter({ hasNotText: "–" }).waitFor();
  assert.match(await page.locator("#rate-chart").getAttribute("aria-label"), /^now /);
  await page.screenshot({ path: `${pictures}/light${token ? "-token" : ""}.png`, fullPage: true });

  // With the keyboard alone, from a refusal to what is said of it.
  const explain = page.getByRole("button", { name: "Explain GET http://none.test/lost" });
  await explain.focus();
  await page.keyboard.press("Enter");
  await page.locator("#answer").filter({ hasText: "404 no_site" }).waitFor();
  await page.getByLabel("URL").fill("http://plain.test/x");
  await page.keyboard.press("Enter");
  await page.locator("#answer").filter({ hasText: "security-headers" }).waitFor();
  assert.match(await page.locator("#answer").innerText(), /app[\s\S]*127\.0\.0\.1/);
  await page.getByLabel("URL").fill("ftp://plain.test/x");
  await page.keyboard.press("Enter");
  await page.locator("#answer").filter({ hasText: "not an absolute http" }).waitFor();

  // Every field has a name, every table its heads, and what is drawn its words.
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, button, [role=img], [role=region], nav")].filter((element) => {
    const labelled = element.getAttribute("aria-label") ?? document.getElementById(element.getAttribute("aria-labelledby"))?.textContent;
    return !(labelled || element.labels?.length || element.textContent.trim());
  }).map((element) => element.outerHTML));
  assert.deepEqual(unnamed, []);
  assert.equal(await page.locator("table thead th:not([scope])").count(), 0);
  assert.deepEqual(wrong, []);
}

async function small(browser) {
  const { page, wrong } = await open(browser, { colorScheme: "dark", viewport: { width: 380, height: 800 }, hasTouch: true });
  await page.locator("#routes-rows tr").first().waitFor();
  // Neither the page nor a table is wider than a phone, and rows are rows though they are blocks of lines.
  const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".wide")].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.outerHTML));
  assert.deepEqual(wide, []);
  const row = page.getByRole("table").first().getByRole("row").filter({ hasText: "/api/*" });
  assert.equal(await row.getByRole("cell").count(), 6);
  assert.equal(await row.getByRole("rowheader").innerText(), "localhost");
  await page.getByRole("columnheader", { name: "Reason" }).waitFor({ state: "attached" });
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.match(ground, /rgb\(20, 22, 26\)/, "dark");
  await page.locator("#rate").filter({ hasNotText: "–" }).waitFor();
  await page.screenshot({ path: `${pictures}/dark-phone${token ? "-token" : ""}.png`, fullPage: true });
  await page.getByRole("button", { name: "Explain GET http://none.test/lost" }).tap();
  await page.locator("#answer").filter({ hasText: "404 no_site" }).waitFor();
  assert.deepEqual(wrong, []);
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await look(browser);
    await small(browser);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
