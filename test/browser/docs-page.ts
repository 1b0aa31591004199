/** The page at /docs in a real browser, at the width of a desk and of a phone. */
import type { Page } from 'playwright-core';
import { test } from 'tap';
import { adminToken, withTokens } from '../support/access.ts';
import { startService } from '../support/service.ts';
import { openBrowser, openPage, picture } from './chromium.ts';

type Operation = {
  operationId: string;
  parameters?: { in: string; name: string; required?: boolean; example?: unknown; schema?: { example?: unknown } }[];
  requestBody?: { content: Record<string, { example: unknown }> };
};

/** What else is made on the page comes first, and what takes things away last. */
const first = ['createKey', 'createProvider', 'createToken', 'createBinding', 'putRole', 'updateKey', 'rotateKey'];
const last = [
  ...['replaceKey', 'deleteKey', 'restoreKey', 'releaseKey'],
  ...['deleteToken', 'deleteBinding', 'deleteRole', 'deleteProvider'],
];

/** What is for the unusual: its example is refused unless a key is a multi-Region one, or has grants, or something is wrong with it. */
const refused: Record<string, number> = {
  ...{ importKey: 404, resolveKey: 409, recreateKey: 409 },
  ...{ replicateKey: 409, promoteKey: 409, revokeKeyGrant: 404, retireKeyGrant: 404 },
};

function rank({ operationId }: Operation): number {
  if (first.includes(operationId)) return first.indexOf(operationId) - first.length;
  return last.indexOf(operationId) + 1;
}

/** Opens an operation as a reader does, by the menu at the side. */
async function openOperation(page: Page, summary: string, request: string): Promise<void> {
  const menu = page.getByRole('button', { name: 'Open Menu' });
  if (await menu.isVisible()) await menu.click();
  await page
    .locator('.t-doc__sidebar')
    .getByRole('link', { name: `${summary} HTTP Method` })
    .click();
  await page.getByRole('button', { name: `Test Request (${request})`, exact: true }).click();
}

/** Presses Send. @returns the answer, once the page shows it. */
async function send(page: Page, method: string, status: number) {
  const isIt = (path: string) => path.startsWith('/v1/') && !path.endsWith('?limit=1');
  const answered = page.waitForResponse((answer) => {
    const { pathname, search } = new URL(answer.url());
    return answer.request().method() === method && isIt(pathname + search);
  });
  await page
    .getByRole('button', { name: /^Send .* request to/ })
    .first()
    .click();
  const answer = await answered;
  await page
    .getByText(new RegExp(`^${status} `))
    .last()
    .waitFor();
  return { status: answer.status(), path: new URL(answer.url()).pathname, body: await answer.json() };
}

test('the page at /docs', { timeout: 300_000 }, async (t) => {
  const browser = await openBrowser(t);
  const desk = { viewport: { width: 1280, height: 900 } };
  const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const { url, call } = await startService(t);

  for (const [name, options] of Object.entries({ desk, phone })) {
    t.test(`at the width of a ${name}`, async (t) => {
      const { page, wrong } = await openPage(browser, url, options);
      await page.goto(`${url}/docs`);
      await page.getByRole('heading', { name: 'Keyward' }).first().waitFor();
      t.equal(await page.title(), 'Keyward API');
      t.equal(await page.locator('link[rel=icon]').first().getAttribute('href'), '/docs/icon.svg');
      t.ok(await page.evaluate("document.querySelector('header img').naturalWidth > 0"), 'with its icon');
      await picture(page, `${name}-1-introduction`);

      await openOperation(page, 'Create a key', 'post /v1/keys');
      await page.getByText('Request Body').last().waitFor();
      await picture(page, `${name}-2-request`);
      const made = await send(page, 'POST', 201);
      await page.waitForFunction(
        "document.querySelector('section[aria-label=Response]').getBoundingClientRect().top < 450",
      );
      await picture(page, `${name}-3-answer`);
      t.match(made, { status: 201, body: { status: { state: 'in_sync' } } }, 'the example makes a key');
      t.match((await call('GET', `/v1/keys/${made.body.id}`)).body, { description: made.body.description });
      await page.keyboard.press('Escape');

      await openOperation(page, 'Read a key', 'get /v1/keys/{id}');
      const read = await send(page, 'GET', 200);
      t.equal(read.body.id, made.body.id, 'and the next example is about it');
      await page.keyboard.press('Escape');

      const { width, text } = (await page.evaluate(`({
        width: document.documentElement.scrollWidth,
        text: Math.min(...[...document.querySelectorAll('.section p')].map((one) => parseFloat(getComputedStyle(one).fontSize))),
      })`)) as { width: number; text: number };
      t.ok(width <= options.viewport.width, `nothing is wider than the window: ${width}`);
      t.ok(text >= 12, `text can be read: ${text}`);
      await picture(page, `${name}-4-operation`);
      t.same(wrong, [], 'no error, and nothing from another host');
    });
  }

  t.test('the examples of all operations succeed as they are', async (t) => {
    const { page, wrong } = await openPage(browser, url, desk);
    await page.goto(`${url}/docs`);
    await page.getByRole('heading', { name: 'Keyward' }).first().waitFor();
    const { body: document } = await call<{ paths: Record<string, Record<string, Operation>> }>('GET', '/openapi.json');
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
    );
    for (const operation of operations.sort((one, other) => rank(one) - rank(other))) {
      const { operationId, method, path, parameters = [], requestBody } = operation;
      const required = parameters.filter((parameter) => parameter.required);
      const exampleOf = (name: string) =>
        encodeURIComponent(String(required.find((one) => one.name === name)?.example));
      const query = required.filter((one) => one.in === 'query').map(({ name }) => `${name}=${exampleOf(name)}`);
      const [[type = '', media] = []] = Object.entries(requestBody?.content ?? {});
      const sent = {
        address: `${path.replaceAll(/\{(\w+)\}/g, (_all, name) => exampleOf(name))}${query.length ? `?${query}` : ''}`,
        init: {
          method,
          ...(media ? { headers: { 'content-type': type }, body: JSON.stringify(media.example) } : {}),
        },
      };
      const status = await page.evaluate(async ({ address, init }) => {
        const script = '/docs/page.js';
        const { send } = await import(script);
        const answer: Response = await send(address, init);
        return answer.status;
      }, sent);
      const wanted = refused[operationId];
      if (wanted === undefined) t.ok(status >= 200 && status < 300, `${operationId}: ${status}`);
      else t.equal(status, wanted, operationId);
    }
    t.same(wrong, []);
  });

  t.test('a token can be entered, and is asked for where one is needed', async (t) => {
    const guarded = await startService(t, withTokens);
    const { page, wrong } = await openPage(browser, guarded.url, desk);
    await page.goto(`${guarded.url}/docs`);
    await openOperation(page, 'Create a key', 'post /v1/keys');
    t.match(await send(page, 'POST', 401), { status: 401 });
    await page.getByPlaceholder('Token').last().fill(adminToken);
    await picture(page, 'desk-5-token');
    t.match(await send(page, 'POST', 201), { status: 201, body: { status: { state: 'in_sync' } } });
    t.same(wrong, []);
  });
});
