// A person at the box's page, in Chromium: claims it, looks at every page, makes an account, watches events come in.
// Arguments: URL, claim code (or "-" where the box is claimed), folder for pictures, "desktop" or "phone"; and, for the
// updates' page alone, a bundle to bring there.
'use strict';
const { password, sit } = require('./person');

const [url, code, folder, device, bundle] = process.argv.slice(2);

// Adds a source by its form, with a slip on the way, looks at it, and takes it out.
async function addSource(page, look) {
  await page.goto(url + '/sources');
  await page.click('main a[href="/add/source"]');
  await look('add');
  await page.click('main a[href="/add/source/syslog"]');
  await page.waitForSelector('#f-listen');
  await look('add-syslog');
  await page.fill('#f-id', 'sophos');
  await page.fill('#f-listen', 'udp://nowhere');
  // By keyboard alone, as far as a person can.
  await page.focus('#f-time_zone');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#f-listen[aria-invalid=true]');
  await look('add-refused');
  await page.fill('#f-listen', 'udp://127.0.0.1:0');
  await page.click('main form button[value=save]');
  await page.waitForURL(/sophos.edit.done=added/);
  await page.click('#more summary');
  await look('edit');
  await page.goto(url + '/add/source/office365');
  await look('add-office365');
  await page.goto(url + '/source/ces/edit');
  await look('edit-ssh');
  await page.goto(url + '/source/o365/edit');
  await page.click('section[aria-labelledby=consent] button');
  await page.waitForSelector('#answer');
  await look('consent');
  await page.goto(url + '/output/gateway/edit');
  await look('edit-output');
  await page.goto(url + '/source/sophos/edit');
  await page.click('section[aria-labelledby=away] summary');
  await page.click('section[aria-labelledby=away] button.danger');
  await page.waitForURL(/sources.done=removed/);
}

// Brings a bundle, and sees by itself how far it is.
async function update(page, look) {
  await page.goto(url + '/updates');
  await look('updates-idle');
  await page.setInputFiles('#bundle', bundle);
  await page.click('form[action="/updates/upload"] [type=submit]');
  await page.waitForURL(url + '/updates');
  // Nobody loads the page again: it follows what goes on.
  await page.waitForSelector('form[action="/updates/restart"]');
  await look('updates-due');
}

async function visit({ page, look }) {
  await page.goto(url);
  if (code !== '-') {
    await look('claim');
    await page.fill('[name=code]', 'wrong');
    await page.fill('[name=name]', 'ada');
    await page.fill('[name=password]', password);
    await page.fill('[name=again]', password);
    await page.click('main [type=submit]');
    await page.waitForSelector('[aria-invalid=true]');
    await look('claim-refused');
    await page.fill('[name=code]', code);
    await page.fill('[name=password]', password);
    await page.fill('[name=again]', password);
    await page.click('main [type=submit]');
  } else {
    await look('login');
    await page.fill('[name=name]', 'ada');
    await page.fill('[name=password]', password);
    await page.keyboard.press('Enter');
  }
  // A box that has no source or no output yet begins with the first steps.
  await page.waitForURL((at) => at.pathname === '/' || at.pathname === '/start');
  if (bundle) {
    await update(page, look);
    return;
  }
  // The script has swapped the part that changes at least once: what the page shows is not only what it was loaded with.
  await page.waitForFunction(() => document.body.innerText.includes('firewalls'));
  await look('overview');
  for (const span of ['day', 'month']) {
    await page.click(`a[href*="span=${span}"]`);
    await page.waitForURL(new RegExp(`span=${span}`));
  }
  for (const [name, place] of [['sources', '/sources'], ['outputs', '/outputs'], ['ledger', '/ledger'], ['audit', '/audit'], ['accounts', '/accounts'], ['settings', '/settings'], ['files', '/files'], ['box', '/box'], ['updates', '/updates'], ['support', '/support']]) {
    await page.click(`nav a[href="${place}"]`);
    await page.waitForURL(url + place);
    await look(name);
  }
  await addSource(page, look);
  await page.goto(url + '/settings/add/source/syslog');
  await look('settings-review');
  await page.goto(url + '/source/firewalls');
  await page.waitForFunction(() => document.body.innerText.includes('127.0.0.1'));
  await look('source');
  await page.goto(url + '/start');
  await look('start');
  await page.click('a[href="/box#time-head"]');
  await page.fill('#box-ntp', 'no/server');
  await page.press('#box-ntp', 'Enter');
  await page.waitForSelector('[aria-invalid=true]');
  await look('box-refused');
  await page.goto(url + '/certificate');
  await look('certificate');
  await page.goto(url + '/live?minutes=15');
  await page.waitForFunction(() => document.querySelectorAll('#live-list li').length > 0);
  await look('live-replay');
  await page.goto(url + '/nothing');
  await look('error');
  await page.goto(url + '/live');
  // The test sends events as long as this runs.
  await page.waitForFunction(() => document.querySelector('main').innerText.includes('hello from the test'));
  await look('live');
  await page.click('header form [type=submit], nav form [type=submit]');
  await page.waitForURL(url + '/login');
}

sit({ url, folder, device }, visit);
