// A person at the box's page, in Chromium: claims it, looks at every page, makes an account, watches events come in.
// Arguments: URL, claim code (or "-" where the box is claimed), folder for pictures, "desktop" or "phone".
// Prints one line of JSON: what axe-core found on each page, and what went wrong in the console.
'use strict';
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const path = require('path');

const [url, code, folder, device] = process.argv.slice(2);
const password = 'four words make one';
const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };
const told = { violations: [], console: [], requests: [], pages: [], sideways: [] };

async function look(page, name) {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    // Brought in by the debugger, which the page's content policy does not bind.
    await page.evaluate(`if (!window.axe) { ${axe.source} } true`);
    const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    for (const found of result.violations) {
      told.violations.push(`${name} ${scheme}: ${found.id}: ${found.nodes.map((node) => node.target + ' ' + node.failureSummary).join('; ')}`);
    }
    await page.screenshot({ path: path.join(folder, `${device}-${name}-${scheme}.png`), fullPage: true });
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) told.sideways.push(`${name}: ${wide} pixels`);
  told.pages.push(name);
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: sizes[device] });
  const page = await context.newPage();
  // A refused form and a page that is not there are meant to be; whatever else is told is not.
  const isMeant = (text) => text.startsWith('Failed to load resource');
  page.on('console', (message) => { if (message.type() === 'error' && !isMeant(message.text())) told.console.push(message.text()); });
  page.on('pageerror', (error) => told.console.push(String(error)));
  page.on('request', (request) => { if (!request.url().startsWith(url)) told.requests.push(request.url()); });
  page.setDefaultTimeout(30000);

  await page.goto(url);
  if (code !== '-') {
    await look(page, 'claim');
    await page.fill('[name=code]', 'wrong');
    await page.fill('[name=name]', 'ada');
    await page.fill('[name=password]', password);
    await page.fill('[name=again]', password);
    await page.click('main [type=submit]');
    await page.waitForSelector('[aria-invalid=true]');
    await look(page, 'claim-refused');
    await page.fill('[name=code]', code);
    await page.fill('[name=password]', password);
    await page.fill('[name=again]', password);
    await page.click('main [type=submit]');
  } else {
    await look(page, 'login');
    await page.fill('[name=name]', 'ada');
    await page.fill('[name=password]', password);
    await page.keyboard.press('Enter');
  }
  await page.waitForURL(url + '/');
  // The script has swapped the part that changes at least once: what the page shows is not only what it was loaded with.
  await page.waitForFunction(() => document.body.innerText.includes('firewalls'));
  await look(page, 'overview');
  for (const span of ['day', 'month']) {
    await page.click(`a[href*="span=${span}"]`);
    await page.waitForURL(new RegExp(`span=${span}`));
  }
  for (const [name, place] of [['sources', '/sources'], ['ledger', '/ledger'], ['audit', '/audit'], ['accounts', '/accounts'], ['settings', '/settings'], ['files', '/files']]) {
    await page.click(`nav a[href="${place}"]`);
    await page.waitForURL(url + place);
    await look(page, name);
  }
  await page.goto(url + '/settings/add/source/syslog');
  await look(page, 'settings-review');
  await page.goto(url + '/source/firewalls');
  await look(page, 'source');
  await page.goto(url + '/nothing');
  await look(page, 'error');
  await page.goto(url + '/live');
  // The test sends events as long as this runs.
  await page.waitForFunction(() => document.querySelector('main').innerText.includes('hello from the test'));
  await look(page, 'live');
  await page.click('header form [type=submit], nav form [type=submit]');
  await page.waitForURL(url + '/login');
  await browser.close();
}

main().then(
  () => console.log(JSON.stringify(told)),
  (error) => { console.log(JSON.stringify({ ...told, error: String(error && error.stack) })); process.exit(1); },
);
