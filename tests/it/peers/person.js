// Somebody in front of Chromium, who looks at every page with axe-core's eyes too.
'use strict';
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const path = require('path');

const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };
const told = { violations: [], console: [], requests: [], pages: [], sideways: [] };

exports.password = 'four words make one';

// Does it at the box's page, and prints one line of JSON: what was found on each page, and what went wrong in the console.
exports.sit = async function sit({ url, folder, device }, does) {
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

  async function look(name) {
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

  try {
    await does({ page, look, told });
    console.log(JSON.stringify(told));
  } catch (error) {
    console.log(JSON.stringify({ ...told, error: String(error && error.stack) }));
    process.exitCode = 1;
  }
  await browser.close();
};
