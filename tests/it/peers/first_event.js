// A person who has never seen the box, with its page alone: from the first look to a firewall's events at the gateway.
// Arguments: URL, claim code, folder for pictures, "desktop" or "phone", the gateway, the file with its CA, where to listen.
// Tells every action: a page that is opened, a link, a button. What is typed into a form belongs to its button.
'use strict';
const fs = require('fs');
const { password, sit } = require('./person');

const [url, code, folder, device, gateway, ca, listen] = process.argv.slice(2);

sit({ url, folder, device }, async ({ page, look, told }) => {
  told.actions = [];
  const act = async (what, does) => { told.actions.push(what); await does(); };
  const click = (what, selector) => act(what, () => page.click(selector));

  await act('open the page', () => page.goto(url));
  await page.fill('[name=code]', code);
  await page.fill('[name=name]', 'ada');
  await page.fill('[name=password]', password);
  await page.fill('[name=again]', password);
  await click('claim the box', 'main [type=submit]');
  await page.waitForURL(url + '/start');
  await look('first-steps');
  await click('to the gateway', 'main a:text("Type the gateway\'s address")');
  await page.fill('#f-endpoint', gateway);
  await page.fill('#f-tls-ca', fs.readFileSync(ca, 'utf8'));
  await click('test the gateway', 'main form button[value=test]');
  await page.waitForSelector('section.done[aria-labelledby=found]');
  await look('gateway-tested');
  await click('take the gateway into use', 'main form button[value=save]');
  await page.waitForURL(/done=added/);
  await click('back to the first steps', 'nav a:text("First steps")');
  await click('to the first source', 'main a:text("Add a source")');
  await click('a firewall', 'main a:text("Sophos")');
  // Else as it stands: the ports below 1024 are not the test's.
  await page.fill('#f-listen', listen);
  await click('take the source into use', 'main form button[value=save]');
  await page.waitForURL(/done=added/);
  await look('what-to-type');
  // The firewall has been sending to that address all the time.
  await act('type its values into the firewall', async () => {
    const values = await page.innerText('section[aria-labelledby=guides]');
    if (!values.includes(listen.split(':').pop())) throw new Error(values);
  });
  await click('see its events', 'nav a:text("Live")');
  await page.waitForFunction(() => document.querySelector('main').innerText.includes('010101600001'));
  await look('first-event');
});
