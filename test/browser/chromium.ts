/** A real browser, for tests: Debian's chromium, or the one that CHROMIUM names. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** Alone on the machine: without them it looks for its maker's hosts at every start. */
const quiet = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'];
const args = ['--no-sandbox', '--disable-gpu', '--disable-sync', ...quiet];

/** Starts the browser; it is closed when the test ends. */
export async function openBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath, args });
  t.teardown(() => browser.close());
  return browser;
}

/** A page of a profile of its own, and what went wrong on it: errors, and requests to hosts that are not `url`'s. */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}) {
  const context: BrowserContext = await browser.newContext(options);
  const page = await context.newPage();
  const wrong: string[] = [];
  const { origin } = new URL(url);
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    // The browser writes down every answer of 400 or more; what a page does about it is the page's.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) wrong.push(message.text());
  });
  page.on('request', (request) => {
    const at = new URL(request.url());
    if (at.protocol.startsWith('http') && at.origin !== origin) wrong.push(`a request to ${at.href}`);
  });
  return { page, wrong };
}

/** Takes a picture into the folder that SCREENSHOTS names, if it names one. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}
