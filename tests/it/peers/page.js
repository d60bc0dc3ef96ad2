// A person at the box's page, in Chromium: claims it, looks at every page, makes an account, watches events come in.
// Arguments: URL, claim code (or "-" where the box is claimed), folder for pictures, "desktop" or "phone"; and, for the
// updates' page alone, a bundle to bring there.
// Prints one line of JSON: what axe-core found on each page, and what went wrong in the console.
'use strict';
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const path = require('path');

const [url, code, folder, device, bundle] = process.argv.slice(2);
const password = 'four words make one';
const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };
const told = { violations: [], console: [], requests: [], pages: [], sideways: [] };

async function look(page, name) {
  for (const scheme of ['light', 'dark']) {
    // A colour on its way to another one has no contrast to be judged.
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
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

// Adds a source by its form, with a slip on the way, looks at it, and takes it out.
async function addSource(page) {
  await page.goto(url + '/sources');
  await page.click('main a[href="/add/source"]');
  await look(page, 'add');
  await page.click('main a[href="/add/source/syslog"]');
  await page.waitForSelector('#f-listen');
  await look(page, 'add-syslog');
  await page.fill('#f-id', 'sophos');
  await page.fill('#f-listen', 'udp://nowhere');
  // By keyboard alone, as far as a person can.
  await page.focus('#f-time_zone');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#f-listen[aria-invalid=true]');
  await look(page, 'add-refused');
  await page.fill('#f-listen', 'udp://127.0.0.1:0');
  await page.click('main form button[value=save]');
  await page.waitForURL(/sophos.edit.done=added/);
  await page.click('#more summary');
  await look(page, 'edit');
  await page.goto(url + '/add/source/office365');
  await look(page, 'add-office365');
  await page.goto(url + '/source/ces/edit');
  await look(page, 'edit-ssh');
  await page.goto(url + '/source/o365/edit');
  await page.click('section[aria-labelledby=consent] button');
  await page.waitForSelector('#answer');
  await look(page, 'consent');
  await page.goto(url + '/output/gateway/edit');
  await look(page, 'edit-output');
  await page.goto(url + '/source/sophos/edit');
  await page.click('section[aria-labelledby=away] summary');
  await page.click('section[aria-labelledby=away] button.danger');
  await page.waitForURL(/sources.done=removed/);
}

// Brings a bundle, and sees by itself how far it is.
async function update(page) {
  await page.goto(url + '/updates');
  await look(page, 'updates-idle');
  await page.setInputFiles('#bundle', bundle);
  await page.click('form[action="/updates/upload"] [type=submit]');
  await page.waitForURL(url + '/updates');
  // Nobody loads the page again: it follows what goes on.
  await page.waitForSelector('form[action="/updates/restart"]');
  await look(page, 'updates-due');
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  // A colour on its way to another one has a contrast that nobody sees.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: sizes[device], reducedMotion: 'reduce' });
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
  // A box that has no source or no output yet begins with the first steps.
  await page.waitForURL((at) => at.pathname === '/' || at.pathname === '/start');
  if (bundle) {
    await update(page);
    await browser.close();
    return;
  }
  // The script has swapped the part that changes at least once: what the page shows is not only what it was loaded with.
  await page.waitForFunction(() => document.body.innerText.includes('firewalls'));
  await look(page, 'overview');
  for (const span of ['day', 'month']) {
    await page.click(`a[href*="span=${span}"]`);
    await page.waitForURL(new RegExp(`span=${span}`));
  }
  for (const [name, place] of [['sources', '/sources'], ['outputs', '/outputs'], ['ledger', '/ledger'], ['audit', '/audit'], ['accounts', '/accounts'], ['settings', '/settings'], ['files', '/files'], ['box', '/box'], ['updates', '/updates'], ['support', '/support']]) {
    await page.click(`nav a[href="${place}"]`);
    await page.waitForURL(url + place);
    await look(page, name);
  }
  await addSource(page);
  await page.goto(url + '/settings/add/source/syslog');
  await look(page, 'settings-review');
  await page.goto(url + '/source/firewalls');
  await page.waitForFunction(() => document.body.innerText.includes('127.0.0.1'));
  await look(page, 'source');
  await page.goto(url + '/start');
  await look(page, 'start');
  await page.click('a[href="/box#time-head"]');
  await page.fill('#box-ntp', 'no/server');
  await page.press('#box-ntp', 'Enter');
  await page.waitForSelector('[aria-invalid=true]');
  await look(page, 'box-refused');
  await page.goto(url + '/certificate');
  await look(page, 'certificate');
  await page.goto(url + '/live?minutes=15');
  await page.waitForFunction(() => document.querySelectorAll('#live-list li').length > 0);
  await look(page, 'live-replay');
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
